// Package journal is the durable log of one partition in Redis. Keys share the
// hash tag {pN}: owner (epoch, last sequence, lease), log (a stream, one entry per
// batch, ID <sequence>-0), snap (the snapshot in chunks), snap:new (one being
// written) and body:<name> (bytes too large for the log). Every change is one script that
// checks the owner's epoch.
//
//	free or expired ──Takeover──> owned, epoch+1 ──Release or lease runs out──> free
//
// Epoch and sequence are safety: an append names the next sequence, and a retry of
// it is known by epoch and digest. The lease, in Redis time, is liveness only: an
// owner that outlived it may append until somebody has taken over, and then never.
//
// One append is in flight at a time: gather a batch while the last one travels.
// An append whose outcome is unknown stays pending, and Resolve settles it under
// the same sequence before anything else is appended.
//
// A body is stored by the script of the append whose records speak of it, and dropped by
// that of the append whose records forget it. So none is there that no record speaks of,
// a fenced owner stores and drops none, and neither a snapshot nor a trim touches them.
package journal
