package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Digest is the SHA-256 of an input as histories hold it, in JSON.
func Digest(input any) (Hash, error) {
	raw, err := json.Marshal(input)
	if err != nil {
		return Hash{}, err
	}
	return sha256.Sum256(raw), nil
}

// key is the effect's name: the same for every attempt, and after a reset.
func (a Act) key() Hash {
	var b buffer
	for _, s := range []string{a.Workflow, a.Run, a.Step, a.Target} {
		b.text(s)
	}
	b.int32(a.Nth)
	return sha256.Sum256(b)
}

// Result is how an attempt ended.
type Result struct {
	Took time.Duration
	// Changed is nil where the hand cannot tell.
	Changed *bool
	Err     error
}

// outcome is the row's word for the result.
func (r Result) outcome(attempt int32) (outcome Outcome, kind string) {
	k := runbook.KindOf(r.Err)
	switch {
	case r.Err == nil && attempt > 1 && r.Changed != nil && !*r.Changed:
		return Adopted, ""
	case r.Err == nil:
		return Done, ""
	case k == runbook.Refused, k == runbook.Unsafe:
		return Refused, string(k)
	case errors.Is(r.Err, context.Canceled), temporal.IsCanceledError(r.Err):
		return Canceled, ""
	case k != "":
		return Failed, string(k)
	default:
		return Failed, "unclassified"
	}
}

// Begin puts on record that the act is about to be done. When it returns, the row
// outlives this process; when it fails, the act must not be done.
func (b *Book) Begin(ctx context.Context, a Act) error {
	return b.record(ctx, Row{Act: a, Outcome: Started})
}

// End puts on record how the act ended. When it fails the act has happened all the
// same: its retry finds it, and records that.
func (b *Book) End(ctx context.Context, a Act, r Result) error {
	row := Row{Act: a, Changed: r.Changed, DurationMS: r.Took.Milliseconds()}
	row.Outcome, row.Kind = r.outcome(a.Attempt)
	// A canceled act's row is as good as another's.
	return b.record(context.WithoutCancel(ctx), row)
}

func (b *Book) record(ctx context.Context, row Row) error {
	id, err := uuid.NewV7()
	if err != nil {
		return runbook.FailCause(runbook.Unreachable, err, "the ledger: no random numbers")
	}
	row.ID, row.At = id, time.Now()
	row.tidy()
	row.Key = row.Act.key()
	return b.append(ctx, row)
}

// ReadHead answers runbook.ReadLedgerHead.
func (b *Book) ReadHead(context.Context, runbook.LedgerInput) (runbook.LedgerHead, error) {
	h := b.Head()
	return runbook.LedgerHead{Seq: h.Seq, Hash: h.Hash.String(), Spooled: h.Spooled}, nil
}
