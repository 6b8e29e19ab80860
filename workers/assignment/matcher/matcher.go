package matcher

// Config bounds a Matcher.
type Config struct {
	MaxTasks  int // waiting and running together
	MaxAgents int
	MaxQueues int
	// Aging is how much earlier a task counts as having arrived for each step of
	// priority, in the unit of Task.Arrival.
	Aging int64
}

const (
	maxSlots  = 1 << 30
	maxQueues = 1024
	maxAging  = int64(1) << 50
)

func (c Config) validate() error {
	for _, err := range []error{
		inRange("MaxTasks", int64(c.MaxTasks), 1, maxSlots, "1000000"),
		inRange("MaxAgents", int64(c.MaxAgents), 1, maxSlots, "100000"),
		inRange("MaxQueues", int64(c.MaxQueues), 1, maxQueues, "256"),
		inRange("Aging", c.Aging, 0, maxAging, "10000000000 (10 s in nanoseconds)"),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// Stats is what a Matcher holds now and has done so far.
type Stats struct {
	Waiting, Running, Agents int
	Assignments              uint64
	// Comparisons counts the candidates looked at in all choices.
	Comparisons uint64
}

// A Matcher matches tasks to agents. One goroutine owns it.
type Matcher struct {
	Capabilities Capabilities

	config Config
	stats  Stats

	needs  shapes // of tasks
	skills shapes // of agents
	pools  []pool // by skill
	// open are the skills with an agent that has room, openWords which of its words
	// are not zero: when everybody is full, a submission must not look further.
	open      shapeBits
	openWords uint64

	queues    []queue
	lanes     []lane // slot 0 is no lane
	freeLanes []uint32

	agents    []agent // slot 0 is no agent
	freeAgent uint32
	tasks     []task // slot 0 is no task
	freeTask  uint32

	step   uint64 // logical time of agents
	latest int64  // the latest arrival

	prefetched uint32 // of no meaning; see Prefetch
}

// New returns an empty Matcher. The tables of tasks and agents are reserved
// whole: memory that is never touched costs nothing, and growth would copy them
// in the middle of an assignment.
func New(config Config) (*Matcher, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	m := &Matcher{
		config: config,
		needs:  shapes{index: newIndex()},
		skills: shapes{index: newIndex()},
		lanes:  make([]lane, 1),
		agents: make([]agent, 1, config.MaxAgents+1),
		tasks:  make([]task, 1, config.MaxTasks+1),
	}
	adviseHuge(m.agents)
	adviseHuge(m.tasks)
	return m, nil
}

// Stats returns the counts.
func (m *Matcher) Stats() Stats { return m.stats }
