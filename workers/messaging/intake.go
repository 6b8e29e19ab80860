package messaging

import "time"

// intake is what a frame sends: its chunks lie in a few pieces of memory, however many they are.
type intake struct {
	taken time.Time
	list  []*chunk
	piece []chunk
}

// chunkPiece is how many chunks the largest piece of memory holds.
const chunkPiece = 32

// add begins a chunk.
func (in *intake) add() *chunk {
	if in.taken.IsZero() {
		in.taken = time.Now()
	}
	if len(in.piece) == cap(in.piece) {
		in.piece = make([]chunk, 0, min(2*cap(in.piece)+1, chunkPiece))
	}
	in.piece = append(in.piece, chunk{taken: in.taken})
	ch := &in.piece[len(in.piece)-1]
	in.list = append(in.list, ch)
	return ch
}

// take answers what has come and begins anew.
func (in *intake) take() []*chunk {
	list := in.list
	in.list = nil
	return list
}
