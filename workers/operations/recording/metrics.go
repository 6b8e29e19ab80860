package recording

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leanvibe/hive/activities/ledger"
)

// Measure puts figures of the book into the registry, and answers the book as the
// recorder that is timed.
func Measure(registry prometheus.Registerer, book *ledger.Book) Recorder {
	t := timed{book, prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "hive_ledger_append_seconds",
		Help:    "Time that an act waited for one row of the ledger.",
		Buckets: []float64{.0005, .001, .002, .005, .01, .025, .1, .5, 2, 5},
	})}
	registry.MustRegister(t.took,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "hive_ledger_row", Help: "Number of the newest row in the ledger's database."},
			func() float64 { return float64(book.Head().Seq) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "hive_ledger_spooled_rows", Help: "Rows that wait on disk for the ledger's database."},
			func() float64 { return float64(book.Head().Spooled) }),
	)
	return t
}

type timed struct {
	book *ledger.Book
	took prometheus.Histogram
}

// Begin implements Recorder.
func (t timed) Begin(ctx context.Context, a ledger.Act) error {
	defer t.since(time.Now())
	return t.book.Begin(ctx, a)
}

// End implements Recorder.
func (t timed) End(ctx context.Context, a ledger.Act, r ledger.Result) error {
	defer t.since(time.Now())
	return t.book.End(ctx, a, r)
}

func (t timed) since(start time.Time) { t.took.Observe(time.Since(start).Seconds()) }
