package bootstrap

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Where things lie, relative to the project.
const (
	secretsDir  = "secrets"
	tlsDir      = "deploy/production/ssl"
	certificate = "hive.crt"
	privateKey  = "hive.key"
	// selfSigned is the organisation of a pair that was made here; another pair is
	// somebody's own and stays.
	selfSigned = "Agent Hive (self-signed by hive up)"
)

// passwords are the secrets that are made up where they are absent.
var passwords = append([]string{"postgres_password", "redis_password", "agent_token", "client_token", "operator_token", "peer_token"}, ofPlatform...)

// accessTokens is the file in which the services find the three tokens.
const accessTokens = "access_tokens"

// ofPlatform are those of the platform; a stack that is not the repository's has
// passwords of its own, which nobody makes up.
var ofPlatform = append([]string{"ledger_password"}, ofLedger...)

// ofLedger are the secrets without which a ledger that exists is of no use: its
// rows are chained with the one, and its owner has the other.
var ofLedger = []string{"ledger_key", "ledger_owner_password"}

// secrets makes what is absent of the names and answers how many it made.
func secrets(dir string, names []string) (int, error) {
	const private, directory = 0o600, 0o700
	if err := os.MkdirAll(filepath.Join(dir, secretsDir), directory); err != nil {
		return 0, err
	}
	made := 0
	for _, name := range names {
		path := filepath.Join(dir, secretsDir, name)
		info, err := os.Stat(path)
		switch {
		case err == nil && info.Size() > 0:
			if info.Mode().Perm()&0o077 != 0 {
				if err := os.Chmod(path, private); err != nil {
					return made, err
				}
			}
			continue
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return made, err
		}
		random := make([]byte, 24)
		_, _ = rand.Read(random) // it never fails
		if err := writeWhole(path, []byte(hex.EncodeToString(random)), private); err != nil {
			return made, err
		}
		made++
	}
	return made, nil
}

// tokensFile writes the services' file out of the three tokens where there is none,
// and answers whether it did. One that is there is the operator's to change.
func tokensFile(dir string) (bool, error) {
	const private = 0o600
	path := filepath.Join(dir, secretsDir, accessTokens)
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		return false, os.Chmod(path, private)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	text := "# Who may call the services: role token [name]. docs/access.md\n"
	for _, role := range []string{"agent", "client", "operator"} {
		token, err := secret(dir, filepath.Join(secretsDir, role+"_token"))
		if err != nil {
			return false, err
		}
		text += role + " " + token + "\n"
	}
	return true, writeWhole(path, []byte(text), private)
}

// tlsPair makes a self-signed certificate where there is none, and answers whether it did.
func tlsPair(dir string, addresses ...string) (bool, error) {
	const public, private, directory = 0o644, 0o600, 0o755
	const lasts = 825 * 24 * time.Hour // the longest that browsers take
	dir = filepath.Join(dir, tlsDir)
	certFile, keyFile := filepath.Join(dir, certificate), filepath.Join(dir, privateKey)
	_, certErr := os.Stat(certFile)
	_, keyErr := os.Stat(keyFile)
	switch {
	case certErr == nil && keyErr == nil:
		return false, nil
	case certErr == nil && !ownPair(dir):
		return false, fmt.Errorf("%s is there and its key %s is not: bring the key, or remove the certificate to have a self-signed one made", certFile, keyFile)
	}
	if err := os.MkdirAll(dir, directory); err != nil {
		return false, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return false, err
	}
	const bits = 120
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), bits))
	if err != nil {
		return false, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "localhost", Organization: []string{selfSigned}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(lasts), DNSNames: []string{"localhost", "nginx"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, a := range append([]string{"127.0.0.1"}, addresses...) {
		if ip := net.ParseIP(a); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return false, err
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return false, err
	}
	// The key first: a pair that was cut off in between is then made anew.
	if err := writeWhole(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}), private); err != nil {
		return false, err
	}
	return true, writeWhole(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), public)
}

// ownPair says whether the certificate in dir was made here.
func ownPair(dir string) bool {
	raw, err := os.ReadFile(filepath.Join(dir, certificate))
	if err != nil {
		return false
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return false
	}
	c, err := x509.ParseCertificate(block.Bytes)
	return err == nil && len(c.Subject.Organization) == 1 && c.Subject.Organization[0] == selfSigned
}

// writeWhole writes a file under a partial name and gives it its own when it is complete.
func writeWhole(path string, body []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.partial") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if _, err = f.Write(body); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
