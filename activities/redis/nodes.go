package redis

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// slots is how many slots a cluster has.
const slots = 16384

// span is a range of slots, both ends included.
type span struct{ first, last int }

// peer is one line of CLUSTER NODES.
type peer struct {
	id      string
	address string
	flags   []string
	// of is the master's id of a replica.
	of    string
	spans []span
	// open are slots in migration, as the line shows them.
	open []string
}

func (p peer) is(flag string) bool {
	for _, f := range p.flags {
		if f == flag {
			return true
		}
	}
	return false
}

func (p peer) master() bool { return p.is("master") }

func (p peer) count() int {
	n := 0
	for _, s := range p.spans {
		n += s.last - s.first + 1
	}
	return n
}

func (p peer) owns(slot int) bool {
	for _, s := range p.spans {
		if slot >= s.first && slot <= s.last {
			return true
		}
	}
	return false
}

// parseNodes reads CLUSTER NODES:
//
//	<id> <ip:port@cport[,hostname]> <flags> <master|-> <ping> <pong> <epoch> <link-state> [<slot>|<slot>-<slot>|[<slot>->-<id>]]...
func parseNodes(text string) ([]peer, error) {
	var out []peer
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) < 8 {
			return nil, fmt.Errorf("a line of CLUSTER NODES has %d fields, not 8 or more", len(f))
		}
		address, _, _ := strings.Cut(f[1], "@")
		p := peer{id: f[0], address: address, flags: strings.Split(f[2], ",")}
		if f[3] != "-" {
			p.of = f[3]
		}
		for _, s := range f[8:] {
			if strings.HasPrefix(s, "[") {
				p.open = append(p.open, strings.Trim(s, "[]"))
				continue
			}
			r, err := parseSpan(s)
			if err != nil {
				return nil, err
			}
			p.spans = append(p.spans, r)
		}
		out = append(out, p)
	}
	return out, nil
}

func parseSpan(s string) (span, error) {
	from, to, ranged := strings.Cut(s, "-")
	if !ranged {
		to = from
	}
	first, err := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	if err != nil || err2 != nil || first < 0 || last >= slots || first > last {
		return span{}, fmt.Errorf("CLUSTER NODES names slots %q, which are none", s)
	}
	return span{first, last}, nil
}

// slotMap is who has which slots, as one line that two nodes who agree have alike.
func slotMap(peers []peer) string {
	var lines []string
	for _, p := range peers {
		if !p.master() || len(p.spans) == 0 {
			continue
		}
		sort.Slice(p.spans, func(i, j int) bool { return p.spans[i].first < p.spans[j].first })
		lines = append(lines, fmt.Sprint(p.id, p.spans))
	}
	sort.Strings(lines)
	return strings.Join(lines, ";")
}

// keyOf is a key whose slot belongs to the node.
func keyOf(p peer) string {
	for n := 0; ; n++ {
		tag := strconv.Itoa(n)
		if p.owns(int(crc16(tag)) % slots) {
			return "hive:readiness:{" + tag + "}"
		}
	}
}

// crc16 is the cluster's hash of a key (XMODEM; Redis cluster specification, appendix A).
func crc16(s string) uint16 {
	var crc uint16
	for i := range len(s) {
		crc ^= uint16(s[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
