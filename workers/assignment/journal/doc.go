// Package journal is the durable log of one partition in Redis. Keys share the
// hash tag {pN}: owner (epoch, last sequence, lease), log (a stream, one entry per
// batch, ID <sequence>-0), snap (the snapshot in chunks) and snap:new (one being
// written). Every change is one script that checks the owner's epoch.
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
package journal
