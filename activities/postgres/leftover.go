package postgres

import (
	"context"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leanvibe/hive/workflows/runbook"
)

// cleanMax bounds the removal of what a cancelled rebuild of ours left.
const cleanMax = time.Minute

// leftoverName is what REINDEX CONCURRENTLY calls its copies; where a name is
// taken it counts on.
var leftoverName = regexp.MustCompile(`_cc(new|old)\d*$`)

// DropLeftover answers runbook.DropLeftover.
func (h Hand) DropLeftover(ctx context.Context, in runbook.MaintainInput) (runbook.Maintained, error) {
	if !leftoverName.MatchString(in.Index) {
		return runbook.Maintained{Outcome: skipped, Why: "no rebuild left it (its name has no _ccnew or _ccold): drop it, or REINDEX INDEX CONCURRENTLY it, yourself"}, nil
	}
	if time.Now().After(in.Until) {
		return windowEnded(), nil
	}
	s, followed, late, err := h.enter(ctx, in)
	if err != nil {
		return runbook.Maintained{}, err
	}
	if late {
		return windowEnded(), nil
	}
	defer s.leave()
	i, err := s.indexOf(ctx)
	switch {
	case err != nil:
		return runbook.Maintained{}, err
	case i == nil && (followed || retried(ctx)):
		return runbook.Maintained{Outcome: adopted, Changed: true}, nil
	case i == nil:
		return runbook.Maintained{Outcome: done}, nil
	case i.Valid:
		return runbook.Maintained{Outcome: skipped, Why: "it is valid: queries use it"}, nil
	}
	return s.dropLeftover(ctx, *i)
}

func (s *session) dropLeftover(ctx context.Context, i index) (runbook.Maintained, error) {
	out := runbook.Maintained{Outcome: skipped, BytesBefore: i.Bytes, BytesAfter: i.Bytes}
	free, err := s.unused(ctx, i)
	if err != nil {
		return out, err
	}
	if !free {
		out.Why = "a build is at work on its table and may use it"
		return out, nil
	}
	table, _, err := s.tableOf(ctx)
	if err != nil {
		return out, err
	}
	if out.Blocker, err = s.blocker(ctx, table); err != nil || out.Blocker != nil {
		out.Why = whyBlocked(out.Blocker)
		return out, classify(err, s.in.DatabaseInput)
	}
	s.saw(i.oid, i.Bytes)
	end, err := s.run(ctx, work{
		sql:     "DROP INDEX CONCURRENTLY IF EXISTS " + pgx.Identifier{i.Schema, i.Name}.Sanitize(),
		blocked: func(ctx context.Context) (*runbook.Query, error) { return s.blocker(ctx, table) },
	})
	switch {
	case err != nil:
		return out, err
	case end.blocker != nil:
		out.Blocker, out.Why = end.blocker, whyBlocked(end.blocker)
		return out, nil
	case end.late:
		out.Outcome, out.Why = stopped, whyStopped
		return out, nil
	}
	return runbook.Maintained{Outcome: done, Changed: true, BytesBefore: i.Bytes}, nil
}

// unused says that no build works on the index's table.
func (s *session) unused(ctx context.Context, i index) (bool, error) {
	found, err := indexes(ctx, s.look, userIndexes+` WHERE i.oid = $1 AND NOT (x.indisvalid AND x.indisready) AND `+unbuilt, i.oid)
	return len(found) == 1, classify(err, s.in.DatabaseInput)
}

// clean drops what a rebuild of the act's index left: invalid copies under its
// name that no build uses. What cannot go now is left for DropLeftover.
func (s *session) clean(ctx context.Context) error {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, cleanMax)
	defer cancel()
	found, err := indexes(ctx, s.look, userIndexes+`
		WHERE n.nspname = $1 AND t.relname = $2 AND NOT (x.indisvalid AND x.indisready) AND `+unbuilt, s.in.Schema, s.in.Table)
	if err != nil {
		return classify(err, s.in.DatabaseInput)
	}
	for _, i := range found {
		if !copyOf(i.Name, s.in.Index) {
			continue
		}
		table, _, err := s.tableOf(ctx)
		if err != nil {
			return err
		}
		if blocker, err := s.blocker(ctx, table); err != nil || blocker != nil {
			return classify(err, s.in.DatabaseInput)
		}
		if _, err := s.run(ctx, work{sql: "DROP INDEX CONCURRENTLY IF EXISTS " + pgx.Identifier{i.Schema, i.Name}.Sanitize()}); err != nil && (outer.Err() != nil || ctx.Err() == nil) {
			return err
		}
	}
	return nil
}

// copyOf says whether a name is what a rebuild of the index calls its copies; a
// long index name is cut to make room.
func copyOf(name, index string) bool {
	at := leftoverName.FindStringIndex(name)
	if at == nil {
		return false
	}
	base := name[:at[0]]
	return base == index || len(name) == nameMax && len(base) > 0 && len(index) > len(base) && index[:len(base)] == base
}
