// Package authorizer decides who a caller is and what no caller may do. The server listens on loopback only and asks
// for no login, so its work is attribution: the principal that it returns is written by the server into every history
// event that the call causes, where the caller's own "identity" field is only a claim inside the request.
package authorizer

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/server/common/authorization"
	"google.golang.org/grpc/metadata"
)

const (
	// PrincipalHeader is the gRPC metadata key in which a client names itself, as "type:name" or "type"
	// ("hive:alice", "opsworker"). Without it the request's identity field is read the same way.
	PrincipalHeader = "hive-principal"
	// proofHeader carries the key that only this process knows; it proves that a call came from the user interface
	// or from the boot sequence in the same process.
	proofHeader = "hive-process-proof"

	maxPrincipal = 128
)

// Types of principals that only this process may give; a client that claims one is recorded as Client.
const (
	// UI is a person in the Temporal UI, which has no login on loopback.
	UI = "ui"
	// Boot is the server itself while it prepares its namespace.
	Boot = "boot"
	// Client is a caller that did not name itself in the form "type:name".
	Client = "client"
)

// Principals names the caller of each request. It is the server's claim mapper and its authorizer in one, because
// the name needs both the metadata and the request.
type Principals struct {
	proof string
	ops   string
}

// New makes the authorizer of one process for the namespace that must not be deleted.
func New(namespace string) (*Principals, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make the key that proves calls from this process: %w", err)
	}
	return &Principals{proof: hex.EncodeToString(key), ops: namespace}, nil
}

// Proof returns the metadata by which this process marks its own calls as the given type (UI or Boot).
func (p *Principals) Proof(kind string) metadata.MD {
	return metadata.Pairs(proofHeader, p.proof, PrincipalHeader, kind)
}

// AuthInfoRequired says that a caller without any credential is mapped too: loopback asks for no login.
func (p *Principals) AuthInfoRequired() bool { return false }

// GetClaims gives every caller on loopback all rights; what nobody may do is Authorize's to refuse.
func (p *Principals) GetClaims(*authorization.AuthInfo) (*authorization.Claims, error) {
	return &authorization.Claims{System: authorization.RoleAdmin}, nil
}

// Authorize names the caller and refuses the calls that would destroy the record of past runs.
func (p *Principals) Authorize(ctx context.Context, claims *authorization.Claims, target *authorization.CallTarget) (authorization.Result, error) {
	// Calls among the server's own services come with claims that the internal frontend made.
	if claims != nil && claims.AuthType == authorization.InternalPrincipalType {
		return allow(&commonpb.Principal{Type: claims.AuthType, Name: claims.Subject}), nil
	}
	if reason := p.refusal(target); reason != "" {
		return authorization.Result{Decision: authorization.DecisionDeny, Reason: reason}, nil
	}
	return allow(p.principal(ctx, target.Request)), nil
}

func (p *Principals) refusal(target *authorization.CallTarget) string {
	if !strings.HasSuffix(target.APIName, "/DeleteNamespace") {
		return ""
	}
	return fmt.Sprintf("namespace %q holds the record of every run and is not deleted; stop the server and remove its data directory instead", p.ops)
}

// principal reads who calls: first the process's own proof, then the header, then the request's identity field.
func (p *Principals) principal(ctx context.Context, request any) *commonpb.Principal {
	md, _ := metadata.FromIncomingContext(ctx)
	claimed := first(md, PrincipalHeader)
	if proof := first(md, proofHeader); proof != "" && subtle.ConstantTimeCompare([]byte(proof), []byte(p.proof)) == 1 {
		if claimed == UI {
			return &commonpb.Principal{Type: UI, Name: "browser"}
		}
		return &commonpb.Principal{Type: Boot, Name: "hive-temporal"}
	}
	if claimed == "" {
		if named, ok := request.(interface{ GetIdentity() string }); ok {
			claimed = named.GetIdentity()
		}
	}
	if claimed == "" {
		claimed = first(md, "client-name")
	}
	return parse(claimed)
}

// parse splits "type:name". "opsworker" alone is type and name; anything else without a type is a Client.
func parse(claimed string) *commonpb.Principal {
	claimed = printable(claimed)
	kind, name, found := strings.Cut(claimed, ":")
	switch {
	case claimed == "":
		return &commonpb.Principal{Type: Client, Name: "unnamed"}
	case claimed == "opsworker":
		return &commonpb.Principal{Type: claimed, Name: claimed}
	case !found || name == "" || reserved(kind):
		return &commonpb.Principal{Type: Client, Name: claimed}
	}
	return &commonpb.Principal{Type: kind, Name: name}
}

// reserved reports whether only the server may give this type. A type is one lower-case word.
func reserved(kind string) bool {
	switch kind {
	case UI, Boot, Client, authorization.InternalPrincipalType, "":
		return true
	}
	return strings.ContainsFunc(kind, func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' })
}

// printable keeps a name fit for logs and tables: no control characters, bounded length.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	if len(s) > maxPrincipal {
		s = strings.ToValidUTF8(s[:maxPrincipal], "")
	}
	return s
}

func first(md metadata.MD, key string) string {
	if values := md.Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

func allow(principal *commonpb.Principal) authorization.Result {
	return authorization.Result{Decision: authorization.DecisionAllow, Principal: principal}
}
