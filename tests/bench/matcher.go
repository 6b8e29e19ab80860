package main

import (
	"context"
	"math"

	"github.com/leanvibe/hive/workers/assignment/matcher/matcherload"
)

const (
	matcherRounds = 10
	matcherSteps  = 100_000
	// "The same number of comparisons": candidates are shapes, and which of them
	// have a waiting task at an instant differs a little between two loads.
	comparisonsBar = 1.05
)

// The matcher's rows.
var (
	matcherP50         = atMost("matcher/100k/p50", "ns", 1000)
	matcherP99         = atMost("matcher/100k/p99", "ns", 10_000)
	matcherRate        = atLeast("matcher/100k/rate", "assignments/s", 1_000_000)
	matcherCPURate     = shown("matcher/100k/rate by own CPU time", "assignments/s")
	matcherAllocs      = atMost("matcher/100k/allocations", "allocs/op", 0)
	matcherComparisons = atMost("matcher/comparisons 100k by 1k", "ratio", comparisonsBar)
	matcherTime        = atMost("matcher/time 100k by 1k", "ratio", 3)
	matcherBatchRate   = shown("matcher/100k/rate in batches of 64", "assignments/s")
	matcherClock       = shown("matcher/clock's own part of p50", "ns")
)

func measureMatcher(ctx context.Context, say func(string, ...any)) []Row {
	results, err := compareMatcher(ctx, say)
	if err != nil {
		var rows []Row
		for _, r := range []Row{
			matcherP50, matcherP99, matcherRate, matcherCPURate, matcherAllocs, matcherComparisons, matcherTime, matcherBatchRate, matcherClock,
		} {
			rows = append(rows, r.noData(err))
		}
		return rows
	}
	return matcherRows(results[0], results[1])
}

func compareMatcher(ctx context.Context, say func(string, ...any)) ([]matcherload.Result, error) {
	var loads []*matcherload.Load
	for _, agents := range []int{100_000, 1_000} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		say("filling: %d agents, 1000000 waiting tasks", agents)
		l, err := matcherload.New(matcherload.Config{Agents: agents, Waiting: 1_000_000, Seed: 1})
		if err != nil {
			return nil, err
		}
		loads = append(loads, l)
	}
	say("measuring both in turn: %d rounds of %d completions, as many in batches, as many with the clock read around each", matcherRounds, matcherSteps)
	return matcherload.Compare(ctx, matcherRounds, matcherSteps, loads...)
}

// matcherRows judges the load with 100k agents, beside the one with 1k.
func matcherRows(many, few matcherload.Result) []Row {
	const peer = "1k agents"
	comparisons := many.Comparisons / few.Comparisons
	time := few.PerSecond / many.PerSecond
	return []Row{
		matcherP50.with(float64(many.P50)).beside(peer, float64(many.P50)/float64(few.P50)),
		matcherP99.with(float64(many.P99)).beside(peer, float64(many.P99)/float64(few.P99)),
		matcherRate.with(many.PerSecond).beside(peer, many.PerSecond/few.PerSecond),
		matcherCPURate.with(many.PerCPUSecond).beside(peer, many.PerCPUSecond/few.PerCPUSecond),
		matcherAllocs.with(math.Floor(many.AllocsPerStep)).noted("%g per op in the whole process; whole ones count, as in go test", many.AllocsPerStep),
		matcherComparisons.with(comparisons).beside(peer, comparisons),
		matcherTime.with(time).beside(peer, time),
		matcherBatchRate.with(many.BatchPerSecond).beside(peer, many.BatchPerSecond/few.BatchPerSecond),
		matcherClock.with(float64(many.Clock)),
	}
}
