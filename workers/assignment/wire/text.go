package wire

import (
	"encoding/hex"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

// textSize is the length of an id's text.
const textSize = 36

// IDs writes the ids of a list as text. They share one string, made at once: a frame is
// mostly ids, and is forgotten as a whole.
func IDs(size int, id func(i int) partition.TaskID) []string {
	buf := make([]byte, 0, size*textSize)
	for i := range size {
		buf = appendID(buf, id(i))
	}
	all, out := string(buf), make([]string, size)
	for i := range out {
		out[i] = all[i*textSize : (i+1)*textSize]
	}
	return out
}

// appendID appends what id.String answers.
func appendID(buf []byte, id partition.TaskID) []byte {
	buf = append(hex.AppendEncode(buf, id[:4]), '-')
	buf = append(hex.AppendEncode(buf, id[4:6]), '-')
	buf = append(hex.AppendEncode(buf, id[6:8]), '-')
	buf = append(hex.AppendEncode(buf, id[8:10]), '-')
	return hex.AppendEncode(buf, id[10:])
}
