package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/tests/chaos/matrix"
)

func TestWrongCallsAreRefusedBeforeAnybodyDies(t *testing.T) {
	parts := []string{"steps"}
	require.NoError(t, wrong(nil, parts, matrix.Config{Benches: 2, Only: []string{"database", "week"}}))
	for want, err := range map[string]error{
		`unexpected argument "stray"`: wrong([]string{"stray"}, parts, matrix.Config{Benches: 2}),
		"--benches is 10":             wrong(nil, parts, matrix.Config{Benches: 10}),
		`--part names "step"`:         wrong(nil, []string{"step"}, matrix.Config{Benches: 2}),
		`--only names "weekly"`:       wrong(nil, parts, matrix.Config{Benches: 2, Only: []string{"weekly"}}),
	} {
		require.ErrorContains(t, err, want)
	}
}

func TestASecondKitIsRefused(t *testing.T) {
	dir := t.TempDir()
	release, err := alone(dir)
	require.NoError(t, err)
	_, err = alone(dir)
	require.ErrorContains(t, err, "another chaos kit is at work in this project")
	release()
	release, err = alone(dir)
	require.NoError(t, err)
	release()
}
