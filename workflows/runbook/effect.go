package runbook

// Effect says what running a step does to the world.
type Effect int

const (
	// Read observes; it may run any number of times.
	Read Effect = iota
	// Write changes something that an undo can put back.
	Write
	// Irreversible changes something that nothing can put back; plans mark it.
	Irreversible
)

// String returns the effect's name as plans and ledgers print it.
func (e Effect) String() string {
	switch e {
	case Read:
		return "read"
	case Write:
		return "write"
	case Irreversible:
		return "irreversible"
	default:
		return "unknown"
	}
}
