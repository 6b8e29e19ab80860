package runbookmap

import (
	"regexp"
	"slices"
	"sort"
	"strings"
)

const (
	// enough is the likeness from which a command is taken for a line of the runbook.
	enough = 0.6
	// hints is how many of the nearest lines an unknown command is answered with.
	hints = 3
	// spelling is how much letters count beside words in the choice of the nearest.
	spelling = 0.3
)

// Answer is what became of one command.
type Answer struct {
	Command string `json:"command"`
	Kind    Kind   `json:"kind"`
	// Line is the runbook's, or an equal of it that the map knows; Where it stands.
	Line  string `json:"line,omitempty"`
	Where []Line `json:"where,omitempty"`
	// Likeness is 1 where the command is the line.
	Likeness  float64  `json:"likeness"`
	Procedure string   `json:"procedure,omitempty"`
	Steps     []string `json:"steps,omitempty"`
	Verb      string   `json:"verb,omitempty"`
	// Reason is why it is refused, or which chapter will answer.
	Reason string   `json:"reason,omitempty"`
	Does   string   `json:"does,omitempty"`
	Why    string   `json:"why,omitempty"`
	Type   []string `json:"type,omitempty"`
	Page   string   `json:"page,omitempty"`
	// Nearest are the lines that an unknown command resembles most.
	Nearest []string `json:"nearest,omitempty"`
}

// candidate is a text that may be meant, and its entry.
type candidate struct {
	// text is what is compared, line the whole of what the map says.
	text, line string
	entry      int
	// command is nil for prose, prose nil for a command.
	command *command
	prose   map[string]float64
}

var code = regexp.MustCompile("`([^`]+)`")

// candidates are the map's lines, and the commands inside its check items.
func candidates(m *Map) []candidate {
	var out []candidate
	for i, e := range m.Entries {
		for _, line := range slices.Concat(e.Lines, e.Also) {
			if !isProse(line) {
				if c, ok := single(line); ok {
					out = append(out, candidate{text: line, line: line, entry: i, command: &c})
				}
				continue
			}
			out = append(out, candidate{text: line, line: line, entry: i, prose: proseWords(line)})
			for _, span := range code.FindAllStringSubmatch(line, -1) {
				if c, ok := single(span[1]); ok {
					out = append(out, candidate{text: span[1], line: line, entry: i, command: &c})
				}
			}
		}
	}
	return out
}

// sentence is how check items, steps, table rows and instructions begin; a command
// begins with the small letter of its program.
var sentence = regexp.MustCompile(`^(\||\*\*|#|\p{Lu})`)

func isProse(line string) bool { return sentence.MatchString(line) }

func single(line string) (command, bool) {
	all := pipes(shellWords(line))
	if len(all) != 1 {
		return command{}, false
	}
	return parseCommand(all[0]), true
}

var letters = regexp.MustCompile(`[\p{L}\p{N}]+`)

// filler says nothing about what a sentence is about.
var filler = strings.Fields("the a an of to in on is be should are and or for from if with by")

func proseWords(text string) map[string]float64 {
	out := map[string]float64{}
	for _, w := range letters.FindAllString(strings.ToLower(code.ReplaceAllString(text, "")), -1) {
		if !slices.Contains(filler, w) {
			out[w] = plain
		}
	}
	return out
}

// Explain answers for each command of a text; a line of the runbook is answered for
// as a whole, whatever it holds.
func (m *Map) Explain(text string) []Answer {
	if a, ok := m.literal(text); ok {
		return []Answer{a}
	}
	var out []Answer
	for _, one := range separate(text) {
		a, ok := m.literal(one)
		if !ok {
			a = m.meant(one)
		}
		out = append(out, a)
	}
	return out
}

// literal answers for a text that stands in the map, white space apart.
func (m *Map) literal(text string) (Answer, bool) {
	text = tidy(text)
	for _, c := range m.known {
		if tidy(c.text) == text || tidy(c.line) == text {
			var v values
			if c.command != nil {
				v = c.command.values
			}
			return m.answer(text, c, v, 1), true
		}
	}
	return Answer{}, false
}

// meant answers for the nearest line, if it is near enough.
func (m *Map) meant(text string) Answer {
	type found struct {
		candidate
		likeness, near float64
	}
	var all []found
	c, isCommand := single(text)
	said := proseWords(text)
	for _, k := range m.known {
		f := found{candidate: k}
		switch {
		case k.command != nil && isCommand:
			f.likeness, f.near = c.likeness(*k.command), c.near(*k.command)
		case k.prose != nil:
			f.likeness = dice(said, k.prose)
			f.near = f.likeness
		}
		all = append(all, f)
	}
	sort.SliceStable(all, func(i, j int) bool {
		a, b := all[i], all[j]
		if a.likeness != b.likeness {
			return a.likeness > b.likeness
		}
		if m.refuses(a.candidate) != m.refuses(b.candidate) {
			return m.refuses(a.candidate) // between two that are as likely, the warning
		}
		return a.near > b.near
	})
	if len(all) > 0 && all[0].likeness >= enough {
		return m.answer(text, all[0].candidate, c.values, all[0].likeness)
	}
	typed := pairs(text)
	for i := range all {
		all[i].near += spelling * dice(typed, pairs(all[i].text))
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].near > all[j].near })
	a := Answer{Command: text, Kind: Unknown}
	for _, f := range all {
		if len(a.Nearest) < hints && !slices.Contains(a.Nearest, f.line) {
			a.Nearest = append(a.Nearest, f.line)
		}
	}
	return a
}

// pairs are a text's neighbouring letters, by which a slip of the finger is known.
func pairs(text string) map[string]float64 {
	out := map[string]float64{}
	text = strings.ToLower(text)
	for i := 0; i+2 <= len(text); i++ {
		out[text[i:i+2]] = plain
	}
	return out
}

func (m *Map) refuses(c candidate) bool { return m.Entries[c.entry].Kind() == Refused }

// answer words an entry for a command; what the command does not say, the runbook's
// line does.
func (m *Map) answer(text string, c candidate, v values, likeness float64) Answer {
	e := m.Entries[c.entry]
	a := Answer{
		Command: text, Kind: e.Kind(), Line: c.line, Where: m.where(c.line), Likeness: float64(int(likeness*100+0.5)) / 100,
		Procedure: e.Procedure, Steps: e.Steps, Verb: e.Verb, Reason: e.Refused + e.NotYet,
		Does: e.Does, Why: e.Why, Page: e.Page,
	}
	of := values{tail: "50", replicas: "3"}
	if c.command != nil {
		of = c.command.or(of)
	}
	of = v.or(of)
	for _, t := range e.Type {
		a.Type = append(a.Type, of.fill(t))
	}
	return a
}

// or takes from the other what is not there.
func (v values) or(other values) values {
	if len(v.services) == 0 {
		v.services = other.services
	}
	if v.replicas == "" {
		v.replicas = other.replicas
	}
	if v.tail == "" {
		v.tail = other.tail
	}
	return v
}

// fill puts the values in the place of their names. They were checked when they
// were read: a name of a service or digits, nothing that a shell would act on.
func (v values) fill(text string) string {
	first, quoted := "", make([]string, 0, len(v.services))
	for i, s := range v.services {
		if i == 0 {
			first = s
		}
		quoted = append(quoted, `"`+s+`"`)
	}
	return strings.NewReplacer(
		"{services}", strings.Join(quoted, ","), "{service}", first, "{replicas}", v.replicas, "{tail}", v.tail,
	).Replace(text)
}

// separate cuts a text into commands that follow one another, each as it was typed.
func separate(text string) []string {
	var out []string
	start := 0
	cut := func(from, to int) {
		if one := strings.TrimSpace(text[start:from]); one != "" && !strings.HasPrefix(one, "#") {
			out = append(out, one)
		}
		start = to
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '\'' || c == '"':
			i = closing(text, i+1, c)
		case c == '$' && i+1 < len(text) && text[i+1] == '(':
			i = matching(text, i+1)
		case c == '\n' || c == ';':
			cut(i, i+1)
		case strings.HasPrefix(text[i:], "&&") || strings.HasPrefix(text[i:], "||"):
			cut(i, i+2)
			i++
		}
	}
	cut(len(text), len(text))
	if len(out) == 0 {
		return []string{strings.TrimSpace(text)}
	}
	return out
}
