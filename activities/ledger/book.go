package ledger

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// batchMax is how many rows one transaction takes.
	batchMax = 256
	// queueMax is how many acts may wait for their row; opsworker runs 64 at once.
	queueMax  = 256
	redialMin = 500 * time.Millisecond
	redialMax = 15 * time.Second
	lockFile  = "lock"
	// fileBehind is how old the head's file may be; each writing of it makes the
	// database's own syncs slower.
	fileBehind = 100 * time.Millisecond
)

// Book is the ledger as its one writer has it. Rows that wait at the same time go
// into one transaction. While the database is away they go to the spool, and while
// the spool is not empty new ones queue behind it.
type Book struct {
	config Config
	key    *seal
	dial   *pgx.ConnConfig
	lock   *os.File

	queue   chan *waiting
	stopped chan struct{}

	// file guards the head's file; moves wakes who writes it.
	file     sync.Mutex
	moves    chan struct{}
	followed chan struct{}

	// Of Run alone:
	store  *store
	spool  *spool
	place  cursor
	broken string

	mu   sync.Mutex
	head Head
	away error
}

// waiting is a row whose act waits for it.
type waiting struct {
	row  Row
	done chan error
}

// Open opens the ledger of a project; the database need not answer. Nobody else
// may have it open: two writers would each replay the spool.
func Open(c Config) (*Book, error) {
	key, err := c.key()
	if err != nil {
		return nil, err
	}
	dial, err := c.connection()
	if err != nil {
		return nil, err
	}
	b := &Book{
		config: c, key: key, dial: dial, queue: make(chan *waiting, queueMax), stopped: make(chan struct{}),
		moves: make(chan struct{}, 1), followed: make(chan struct{}), away: errors.New("not connected yet"),
	}
	if err := os.MkdirAll(c.state(), 0o755); err != nil {
		return nil, runbook.FailCause(runbook.Refused, err, "the ledger's state")
	}
	if b.lock, err = lockState(c.state()); err != nil {
		return nil, err
	}
	if err := b.load(); err != nil {
		return nil, errors.Join(err, b.lock.Close())
	}
	return b, nil
}

func lockState(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, runbook.FailCause(runbook.Refused, err, "the ledger's state")
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(runbook.FailCause(runbook.Busy, err, "another opsworker writes the ledger of this project (%s/%s)", StateDir, lockFile), f.Close())
	}
	return f, nil
}

// load reads what earlier processes left: the head and the spool.
func (b *Book) load() error {
	head, _, err := readHead(b.config.state(), b.key)
	switch {
	case errors.Is(err, errForged):
		b.broken = "the file " + StateDir + "/" + headFile + " was not written with the ledger's key"
	case err != nil:
		return runbook.FailCause(runbook.Refused, err, "the ledger's head")
	}
	spool, lost, err := openSpool(b.config.state(), b.key, head)
	if err != nil {
		return runbook.FailCause(runbook.Refused, err, "the ledger's spool")
	}
	if lost != "" && b.broken == "" {
		b.broken = lost
	}
	b.spool = spool
	head.Spooled, head.Spool = spool.count, spool.last
	b.head = head
	return nil
}

// Head is where the ledger stands.
func (b *Book) Head() Head {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.head
}

// Away is why rows wait on disk; nil while the database takes them.
func (b *Book) Away() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.away
}

// append returns when the row is in the database or on the disk.
func (b *Book) append(ctx context.Context, row Row) error {
	w := &waiting{row, make(chan error, 1)}
	select {
	case b.queue <- w:
	case <-b.stopped:
		return unwritten(errors.New("the ledger is closed"))
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-b.stopped:
		select {
		case err := <-w.done: // written at the very end
			return err
		default:
			return unwritten(errors.New("the ledger is closed"))
		}
	}
}

// Run writes until the context ends; then it writes what waits, and closes.
func (b *Book) Run(ctx context.Context) error {
	defer close(b.stopped)
	l := &line{book: b, opened: make(chan *store, 1), failed: make(chan error, 1), wait: redialMin}
	l.begin(ctx)
	defer l.end()
	go b.follow()
	for {
		select {
		case <-ctx.Done():
			b.flush()
			return b.close()
		case w := <-b.queue:
			b.write(ctx, b.collect(w))
			b.catchUp(ctx)
			l.watch()
		case s := <-l.opened:
			b.store = s
			l.dialing = false
			b.catchUp(ctx)
			l.watch()
		case err := <-l.failed:
			l.dialing = false
			b.say(err)
			l.watch()
		case <-l.timer:
			l.timer = nil
			l.begin(ctx)
		}
	}
}

// line is the way to the database: who dials, and when again. Dialling goes on
// beside the writing, so that a database that hangs holds nothing up.
type line struct {
	book    *Book
	opened  chan *store
	failed  chan error
	timer   <-chan time.Time
	dialing bool
	wait    time.Duration
	tasks   sync.WaitGroup
}

// watch sees to it that there is a connection, or will be one. One that has just
// failed is not tried again at once, however it failed.
func (l *line) watch() {
	switch {
	case l.book.store != nil:
		l.wait = redialMin
	case !l.dialing && l.timer == nil:
		l.timer = time.After(l.wait)
		l.wait = min(2*l.wait, redialMax)
	}
}

func (l *line) begin(ctx context.Context) {
	l.dialing = true
	l.tasks.Go(func() {
		s, err := dial(ctx, l.book.dial, l.book.key)
		if err != nil {
			l.failed <- err
			return
		}
		l.opened <- s
	})
}

// end leaves no connection behind.
func (l *line) end() {
	l.tasks.Wait()
	select {
	case s := <-l.opened:
		s.close()
	default:
	}
}

// collect takes whoever else waits.
func (b *Book) collect(first *waiting) []*waiting {
	all := []*waiting{first}
	for len(all) < batchMax {
		select {
		case w := <-b.queue:
			all = append(all, w)
		default:
			return all
		}
	}
	return all
}

// write puts the rows into the database, or where that is not to be had, on the
// disk behind the others.
func (b *Book) write(ctx context.Context, all []*waiting) {
	rows := make([]Row, len(all))
	for i, w := range all {
		rows[i] = w.row
	}
	var err error
	// A row that is being written at a stop is written: the context's end is Run's.
	// The head's file follows a commit behind the acts' backs: it costs more than the
	// commit on a busy disk, and a file that is some rows behind says nothing wrong.
	if b.store == nil || b.spool.count > 0 || b.broken != "" || !b.insert(context.WithoutCancel(ctx), rows) {
		err = b.keep(rows)
	}
	for _, w := range all {
		w.done <- err
	}
}

// insert adds the rows behind the head; false when the database is away.
func (b *Book) insert(ctx context.Context, rows []Row) bool {
	head, err := b.store.insert(ctx, batch{rows: rows, known: b.head})
	if err != nil {
		b.hangUp(err)
		return false
	}
	b.moved(head)
	select {
	case b.moves <- struct{}{}:
	default:
	}
	return true
}

func (b *Book) hangUp(err error) {
	b.say(err)
	b.store.close()
	b.store = nil
}

// keep puts the rows on the disk.
func (b *Book) keep(rows []Row) error {
	bodies := make([][]byte, len(rows))
	for i := range rows {
		bodies[i] = rows[i].body()
	}
	if err := b.spool.append(b.head, bodies); err != nil {
		return unwritten(err)
	}
	head := b.head
	head.Spooled, head.Spool = b.spool.count, b.spool.last
	b.moved(head)
	b.note(false)
	return nil
}

// catchUp takes the spool into the database, in order. Rows that come meanwhile
// queue behind it, on the disk.
func (b *Book) catchUp(ctx context.Context) {
	for b.store != nil && (b.spool.count > 0 || b.broken != "") && ctx.Err() == nil {
		rows, next, err := b.spool.next(b.place, batchMax)
		if err != nil {
			// It was whole when it was opened or written: the disk lies, or somebody
			// has been at it. What can be read is in the database; the rest is kept.
			b.broken = err.Error()
			if err := b.spool.keep(b.config.state()); err != nil {
				b.say(err)
				return
			}
			rows, next = nil, cursor{at: b.spool.size, done: b.spool.count}
		}
		head, err := b.store.insert(ctx, batch{rows: rows, known: b.head, again: true, floor: b.spool.base.Seq, broken: b.broken})
		if err != nil {
			b.hangUp(err)
			return
		}
		b.broken, b.place = "", next
		head.Spooled, head.Spool = b.spool.count, b.spool.last
		if b.place.done >= b.spool.count {
			head.Spooled, head.Spool = 0, Hash{}
		}
		b.moved(head)
		b.note(head.Spooled == 0)
		if head.Spooled == 0 {
			if err := b.spool.reset(); err != nil {
				b.say(err)
				return
			}
			b.place = cursor{}
		}
		b.queued()
	}
	if b.store != nil && b.spool.count == 0 && b.broken == "" {
		b.say(nil)
	}
}

// queued writes whoever waits while the spool is taken in.
func (b *Book) queued() {
	select {
	case w := <-b.queue:
		b.write(context.Background(), b.collect(w))
	default:
	}
}

// moved makes the head known.
func (b *Book) moved(head Head) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.head = head
}

// follow keeps the head's file at most fileBehind behind the head, until the moves
// end.
func (b *Book) follow() {
	defer close(b.followed)
	tick := time.NewTicker(fileBehind)
	defer tick.Stop()
	for range b.moves {
		b.note(false)
		<-tick.C
	}
}

// note writes the head into its file. A file that cannot be written stands behind,
// which is said and hinders nobody.
func (b *Book) note(now bool) {
	b.file.Lock()
	defer b.file.Unlock()
	if err := writeHead(b.config.state(), b.key, b.Head(), now); err != nil && b.config.Log != nil {
		b.config.Log.Warn("the ledger's head stays behind in its file", "file", StateDir+"/"+headFile, "error", err)
	}
}

// say tells once that the database went away, and that it is back.
func (b *Book) say(err error) {
	b.mu.Lock()
	before := b.away
	b.away = err
	b.mu.Unlock()
	if b.config.Log == nil {
		return
	}
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		b.config.Log.Warn("the ledger's rows wait on disk", "error", err)
	case err == nil && before != nil:
		b.config.Log.Info("the ledger's database takes its rows", "row", b.Head().Seq)
	}
}

// flush writes whoever waits at the end.
func (b *Book) flush() {
	for {
		select {
		case w := <-b.queue:
			b.write(context.Background(), b.collect(w))
		default:
			return
		}
	}
}

func (b *Book) close() error {
	if b.store != nil {
		b.store.close()
	}
	close(b.moves)
	<-b.followed
	b.note(true)
	return errors.Join(b.spool.f.Close(), b.lock.Close())
}
