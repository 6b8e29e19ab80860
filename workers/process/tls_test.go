package process

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pair writes a self-signed pair.
func pair(t *testing.T, dir, name string, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until,
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	rawKey, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	put(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	put(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: rawKey})))
	return cert, key
}

func TestTLS_BothOrNeither(t *testing.T) {
	cert, key := pair(t, t.TempDir(), "a", time.Now().Add(time.Hour))
	_, err := New(Config{TLSCert: cert})
	require.EqualError(t, err, "HIVE_TLS_CERT_FILE is "+cert+" and HIVE_TLS_KEY_FILE is empty: set both for TLS, or neither for plain HTTP")
	_, err = New(Config{TLSKey: key})
	require.EqualError(t, err, "HIVE_TLS_KEY_FILE is "+key+" and HIVE_TLS_CERT_FILE is empty: set both for TLS, or neither for plain HTTP")
	_, err = New(Config{TLSCert: key, TLSKey: cert})
	require.ErrorContains(t, err, "TLS pair")
}

// served answers the name in the certificate of a new connection.
func served(t *testing.T, s *server) string {
	t.Helper()
	conn, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test looks at the certificate itself
	require.NoError(t, err)
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].DNSNames[0]
}

func TestTLS_ServesHTTP2AndReadsAChangedPair(t *testing.T) {
	dir := t.TempDir()
	cert, key := pair(t, dir, "first", time.Now().Add(time.Hour))
	s := start(t, func(c *Config) { c.TLSCert, c.TLSKey, c.AccessFile = cert, key, tokens(t) })

	trusted := x509.NewCertPool()
	pemText, err := os.ReadFile(cert)
	require.NoError(t, err)
	require.True(t, trusted.AppendCertsFromPEM(pemText))
	resp, err := http2Client(t, &tls.Config{RootCAs: trusted}).Get("https://" + s.addr + "/v1/stats")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 2, resp.ProtoMajor)
	require.Equal(t, 401, resp.StatusCode)
	old := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10} //nolint:gosec // to be refused
	_, err = tls.Dial("tcp", s.addr, old)
	require.ErrorContains(t, err, "protocol version")
	plain, err := http.Get("http://" + s.addr + "/v1/stats")
	require.NoError(t, err)
	require.NoError(t, plain.Body.Close())
	require.Equal(t, 400, plain.StatusCode)
	require.NoError(t, healthcheck(s.addr, true))

	require.Equal(t, "first", served(t, s))
	put(t, key, "half written")
	hangup(t, s, "cannot be taken")
	require.Equal(t, "first", served(t, s))
	pair(t, dir, "expired", time.Now().Add(-time.Hour))
	hangup(t, s, "has expired at")
	require.Equal(t, "first", served(t, s))
	pair(t, dir, "second", time.Now().Add(time.Hour))
	hangup(t, s, "read again")
	require.Equal(t, "second", served(t, s))
}

func TestTLS_AnExpiredPairIsServedAndNamed(t *testing.T) {
	cert, key := pair(t, t.TempDir(), "old", time.Now().Add(-time.Hour))
	s := start(t, func(c *Config) { c.TLSCert, c.TLSKey = cert, key })
	require.Equal(t, "old", served(t, s))
	require.Contains(t, s.logged(t), "the TLS certificate has expired")
}
