// Package audit reads the ledger for `hive ledger`: the CLI may not import hands.
package audit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/leanvibe/hive/activities/ledger"
	"github.com/leanvibe/hive/workflows/runbook"
)

// Row, Query, Verdict, Finding, Head and Config are the ledger's own.
type (
	Row     = ledger.Row
	Query   = ledger.Query
	Outcome = ledger.Outcome
	Verdict = ledger.Verdict
	Finding = ledger.Finding
	Head    = ledger.Head
	Config  = ledger.Config
)

// Address is where the platform's ledger listens.
const Address = ledger.Address

// Outcomes are all outcomes of rows.
func Outcomes() []string {
	var out []string
	for _, o := range ledger.Outcomes() {
		out = append(out, string(o))
	}
	return out
}

// Show reads the rows that the query chooses, oldest first.
func Show(ctx context.Context, c Config, q Query) ([]Row, error) { return ledger.Show(ctx, c, q) }

// Verify reads the whole ledger and names what is wrong with it.
func Verify(ctx context.Context, c Config, heads ...Head) (Verdict, error) {
	return ledger.Verify(ctx, c, heads...)
}

// Away says whether the error is a database that does not answer.
func Away(err error) bool {
	kind := runbook.KindOf(err)
	return kind == runbook.Unreachable || kind == runbook.Busy
}

// Wrong says whether the error is one of what was asked for, or of a file or a
// database that is not there yet.
func Wrong(err error) bool {
	kind := runbook.KindOf(err)
	return kind == runbook.Refused || kind == runbook.Missing
}

// ParseHead reads a head as a verification prints it: "1234:" and 64 hexadecimal digits.
func ParseHead(text string) (Head, error) {
	var h Head
	number, hash, found := strings.Cut(text, ":")
	seq, err := strconv.ParseInt(number, 10, 64)
	if err == nil {
		err = h.Hash.UnmarshalText([]byte(hash))
	}
	if !found || err != nil || seq < 1 {
		return h, fmt.Errorf("%q is no head of the ledger: write row and hash as `hive ledger verify` prints them, 1234:5f0c…", text)
	}
	h.Seq = seq
	return h, nil
}

// Words is the sentence of an error, as the hand said it.
func Words(err error) string {
	var said interface{ Message() string }
	if errors.As(err, &said) {
		return said.Message()
	}
	return err.Error()
}
