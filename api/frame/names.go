package frame

// namesMost bounds what a Names keeps, in names.
const namesMost = 4096

// Names keeps the addresses and senders that come again and again, so that reading
// one once more takes no memory. The zero value is ready; nil keeps nothing. It is
// for one goroutine at a time.
type Names struct{ known map[string]string }

func (n *Names) of(b []byte) string {
	if n == nil || len(b) == 0 {
		return string(b)
	}
	if s, ok := n.known[string(b)]; ok {
		return s
	}
	if n.known == nil || len(n.known) >= namesMost {
		n.known = map[string]string{}
	}
	s := string(b)
	n.known[s] = s
	return s
}
