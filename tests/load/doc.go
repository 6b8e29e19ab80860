// Package load puts user traffic on the stack and proves afterwards what became of every request.
//
//	clock ──due──▶ one goroutine per request ──▶ wire (raw keep-alive connections, no retry) ──▶ nginx
//	                        │                                                            │
//	                        ▼                                                            ▼
//	              client ledger: every request, its key,                  server ledger: /v1/stats of the
//	              status, latency, instance, version                      run's own queue, and each task
//	                        └───────────────▶ reconcile ◀───────────────────────────────┘
//
// The loader is open: requests fall due at a constant rate whether or not earlier ones have been answered, and latency
// counts from the moment a request was due. A stalled server therefore shows as many slow requests, not as few.
//
// Nothing is retried. Go's own HTTP client repeats a GET on a connection that broke and so hides exactly the failures
// that a rolling restart makes; the wire here reports them.
package load
