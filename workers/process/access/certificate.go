package access

import (
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Certificate is a TLS pair that lies in two files.
type Certificate struct {
	certFile, keyFile string
	pair              atomic.Pointer[tls.Certificate]

	mu                  sync.Mutex
	certStamp, keyStamp stamp
}

// OpenCertificate reads the pair; both names empty is no TLS and answers nil. A pair
// that has expired is taken, for clients who do not look still work with it:
// Expired says so.
func OpenCertificate(certFile, keyFile string) (*Certificate, error) {
	switch {
	case certFile == "" && keyFile == "":
		return nil, nil
	case keyFile == "":
		return nil, fmt.Errorf("HIVE_TLS_CERT_FILE is %s and HIVE_TLS_KEY_FILE is empty: set both for TLS, or neither for plain HTTP", certFile)
	case certFile == "":
		return nil, fmt.Errorf("HIVE_TLS_KEY_FILE is %s and HIVE_TLS_CERT_FILE is empty: set both for TLS, or neither for plain HTTP", keyFile)
	}
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	if _, err := c.Reload(true); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload reads the pair again when one of its files has changed, or in any case
// when forced. A pair that does not fit together, or has expired while the one in
// force has not, is an error and changes nothing.
func (c *Certificate) Reload(force bool) (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	certFresh, keyFresh := c.certStamp.renew(c.certFile), c.keyStamp.renew(c.keyFile)
	if !certFresh && !keyFresh && !force {
		return false, nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return false, fmt.Errorf("TLS pair %s and %s: %w", c.certFile, c.keyFile, err)
	}
	if over := pair.Leaf.NotAfter; c.pair.Load() != nil && over.Before(time.Now()) && !c.Expired() {
		return false, fmt.Errorf("TLS certificate %s has expired at %s and the one in force has not", c.certFile, over.UTC().Format(time.RFC3339))
	}
	c.pair.Store(&pair)
	return true, nil
}

// Expired tells whether the pair in force has.
func (c *Certificate) Expired() bool { return c.pair.Load().Leaf.NotAfter.Before(time.Now()) }

// Config is the server's side of TLS: 1.2 at least, the pair in force at each
// handshake.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.pair.Load(), nil },
	}
}
