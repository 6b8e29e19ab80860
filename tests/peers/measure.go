package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"
)

// fixedRate is the rate, in tasks a second, that every contender is asked for.
const fixedRate = 2000

// Plan says what is measured and for how long.
type Plan struct {
	Specs        []Spec
	Durabilities []Durability
	Duration     time.Duration
	WarmUp       time.Duration
	Runs         int
	// Steady, in tasks a second, is paced in place of all else; 0: everything is measured.
	Steady   float64
	Checkout string
	Progress io.Writer
}

// Result is what one contender reached at one durability; NoData says why a
// figure has no value.
type Result struct {
	Spec       Spec
	Durability Durability
	Throughput Figure
	// Delays are at fixedRate, then at the second rate.
	Delays []Delay
}

// Figure is a median, or the reason why there is none.
type Figure struct {
	Value  float64
	NoData error
}

// Delay is from due to begun at one rate.
type Delay struct {
	Rate     float64
	P50, P99 Figure
}

// Run measures all contenders one after the other, each with its servers alone
// on the machine: first saturation and the fixed rate, then the second rate,
// which is known only when all have been saturated.
func (p *Plan) Run(ctx context.Context) []*Result {
	if p.Steady > 0 {
		return p.steady(ctx)
	}
	fmt.Fprintf(p.Progress, "%d contenders, %d processors; each figure the median of %d runs of %s\n", len(p.Specs), runtime.NumCPU(), p.Runs, p.Duration)
	var results []*Result
	for _, d := range p.Durabilities {
		var part []*Result
		for i := range p.Specs {
			if ctx.Err() != nil {
				return results
			}
			r := &Result{Spec: p.Specs[i], Durability: d}
			p.first(ctx, r)
			part = append(part, r)
		}
		for _, r := range part {
			if ctx.Err() != nil {
				return results
			}
			p.second(ctx, r, secondRate(r, part))
		}
		results = append(results, part...)
	}
	return results
}

// steady paces each contender at one rate. A task that is refused, lost or done twice is the
// end of its run, which has no data then.
func (p *Plan) steady(ctx context.Context) []*Result {
	fmt.Fprintf(p.Progress, "%d contenders, %.0f a second for %s\n", len(p.Specs), p.Steady, p.Duration)
	var results []*Result
	for _, d := range p.Durabilities {
		for i := range p.Specs {
			r := &Result{Spec: p.Specs[i], Durability: d, Throughput: Figure{Value: p.Steady}}
			err := p.with(ctx, r, func(s *Session) error {
				r.Delays = []Delay{p.delay(ctx, s, r, p.Steady)}
				return nil
			})
			if err != nil {
				p.say(r, "no data: %v", err)
				r.Delays = []Delay{{p.Steady, Figure{NoData: err}, Figure{NoData: err}}}
			}
			results = append(results, r)
		}
	}
	return results
}

// secondRate is half of the slowest rival that is not River; for messages, half
// of what the contender itself reached.
func secondRate(of *Result, all []*Result) float64 {
	if of.Spec.Room == Messages {
		return of.Throughput.Value / 2
	}
	var slowest float64
	for _, r := range all {
		v := r.Throughput
		if r.Spec.Room != Tasks || r.Spec.Part != Rival || r.Spec.Slow || v.NoData != nil {
			continue
		}
		if slowest == 0 || v.Value < slowest {
			slowest = v.Value
		}
	}
	return slowest / 2
}

func (p *Plan) first(ctx context.Context, r *Result) {
	var rates []float64
	err := p.with(ctx, r, func(s *Session) error {
		for i := range p.Runs {
			v, err := s.saturate(ctx, p.Duration, 0)
			if err != nil {
				return err
			}
			rates = append(rates, v)
			p.say(r, "saturation %d of %d: %.0f/s", i+1, p.Runs, v)
		}
		r.Throughput = Figure{Value: median(rates)}
		r.Delays = append(r.Delays, p.delay(ctx, s, r, fixedRate))
		return nil
	})
	if err != nil {
		p.say(r, "no data: %v", err)
		r.Throughput = Figure{NoData: err}
		r.Delays = []Delay{{fixedRate, Figure{NoData: err}, Figure{NoData: err}}}
	}
}

func (p *Plan) second(ctx context.Context, r *Result, rate float64) {
	fail := r.Throughput.NoData
	if fail == nil && rate == 0 {
		fail = errors.New("the second rate is half of the slowest peer, and none was measured")
	}
	delay := Delay{rate, Figure{NoData: fail}, Figure{NoData: fail}}
	if fail == nil {
		err := p.with(ctx, r, func(s *Session) error {
			delay = p.delay(ctx, s, r, rate)
			return nil
		})
		if err != nil {
			p.say(r, "no data: %v", err)
			delay = Delay{rate, Figure{NoData: err}, Figure{NoData: err}}
		}
	}
	r.Delays = append(r.Delays, delay)
}

// delay paces the contender, unless it is known not to keep up.
func (p *Plan) delay(ctx context.Context, s *Session, r *Result, rate float64) Delay {
	if most := r.Throughput.Value; most < rate {
		err := fmt.Errorf("cannot keep up: %.0f/s is its most", most)
		return Delay{rate, Figure{NoData: err}, Figure{NoData: err}}
	}
	var p50, p99 []float64
	for i := range p.Runs {
		seen, err := s.pace(ctx, rate, p.Duration)
		if err != nil {
			p.say(r, "no data: %v", err)
			return Delay{rate, Figure{NoData: err}, Figure{NoData: err}}
		}
		a, b := seen.percentile(0.50), seen.percentile(0.99)
		p50, p99 = append(p50, a), append(p99, b)
		p.say(r, "%.0f/s, run %d of %d: p50 %.2f ms, p99 %.2f ms", rate, i+1, p.Runs, a, b)
	}
	return Delay{rate, Figure{Value: median(p50)}, Figure{Value: median(p99)}}
}

// with starts a contender, warms it up, and lets it be measured.
func (p *Plan) with(ctx context.Context, r *Result, measure func(*Session) error) (err error) {
	p.say(r, "starts")
	s, err := open(ctx, r.Spec, Env{Durability: r.Durability, Checkout: p.Checkout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.saturate(ctx, p.WarmUp, 0); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	return measure(s)
}

func (p *Plan) say(r *Result, format string, args ...any) {
	fmt.Fprintf(p.Progress, "%s %s %s: %s\n", r.Spec.Room, r.Durability, r.Spec.Name, fmt.Sprintf(format, args...))
}
