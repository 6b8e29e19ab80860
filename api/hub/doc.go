// Package hub is the Go client of the communication-hub: it sends in batches,
// acknowledges cumulatively, comes back on any hub after a closed connection and
// resumes where it was.
//
//	c, err := hub.New(hub.Config{URL: "http://hub:8082", Agent: "a", Handle: handle})
//	go c.Run(ctx)
//	err = c.Send(ctx, "b", []byte(`{"hello":true}`))
//
// Messages are numbered for each address under a producer's name that is new with
// each Client, and sent again until the hub has stored them: as long as the
// Client lives, each is stored once. What Handle has returned nil for is
// acknowledged. A Handle that is slow stops the reading; the hub then keeps the
// rest, and closes the connection when nothing is read for 5 s: the client comes
// back and goes on.
package hub
