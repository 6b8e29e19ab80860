package frame

import "strings"

// NameMost is the longest that an agent's or a topic's name may be.
const NameMost = 128

// TopicPrefix marks an address as a topic's; agents' names hold no colon.
const TopicPrefix = "topic:"

// ValidAgent tells whether s is a name as agents have: 1 to 128 of letters, digits,
// '.', '_', '-', beginning with a letter or digit. Each message's addresses are looked at
// on both sides, which a regular expression takes longer for than for all else.
func ValidAgent(s string) bool {
	if s == "" || len(s) > NameMost || !letterOrDigit(s[0]) {
		return false
	}
	return ofName(s[1:])
}

// ValidTopic tells whether s is "topic:" and a name.
func ValidTopic(s string) bool {
	name, ok := strings.CutPrefix(s, TopicPrefix)
	return ok && ValidAgent(name)
}

// ProducerMost is the longest that a producer's name may be: they are kept for each mailbox.
const ProducerMost = 64

// ValidProducer tells whether s is 1 to 64 of letters, digits, '.', '_', '-'.
func ValidProducer(s string) bool { return s != "" && len(s) <= ProducerMost && ofName(s) }

// idMost is the longest that a message's id may be.
const idMost = 200

// ValidID tells whether s is at most 200 printable ASCII characters without blanks.
func ValidID[T string | []byte](s T) bool {
	if len(s) > idMost {
		return false
	}
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return true
}

func ofName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !letterOrDigit(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func letterOrDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
