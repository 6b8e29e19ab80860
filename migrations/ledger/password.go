package ledger

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// scramRounds is PostgreSQL's own default.
const scramRounds = 4096

// SetPassword gives the role its password, through the owner's dsn. Only the
// verifier travels, so that no statement log ever holds the password.
func SetPassword(ctx context.Context, dsn, password string) error {
	if password == "" || strings.TrimFunc(password, printable) != "" {
		return fmt.Errorf("ledger: the password of %s must be printable ASCII and not empty", Role)
	}
	secret, err := verifier(password)
	if err != nil {
		return fmt.Errorf("ledger: password of %s: %w", Role, err)
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	// ALTER ROLE takes no parameters; the verifier is base64, '$' and ':'.
	if _, err := conn.Exec(ctx, "ALTER ROLE "+Role+" PASSWORD '"+secret+"'"); err != nil {
		return fmt.Errorf("ledger: password of %s: %w", Role, err)
	}
	return nil
}

// printable is what SASLprep leaves as it is.
func printable(r rune) bool { return r > ' ' && r <= '~' }

// verifier is what PostgreSQL keeps of a password (RFC 5803).
func verifier(password string) (string, error) {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, scramRounds, sha256.Size)
	if err != nil {
		return "", err
	}
	mac := func(what string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(what))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramRounds, encode(salt), encode(stored[:]), encode(mac("Server Key"))), nil
}
