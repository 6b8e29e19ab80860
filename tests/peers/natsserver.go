package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// serveNATS is the word by which this program, run again, becomes the NATS server:
// a process of its own without a second binary to install.
const serveNATS = "serve-nats"

// natsMain runs the server until its standard input ends, so that it never
// outlives who started it. It prints its two addresses when it is ready.
func natsMain(args []string, in io.Reader, out io.Writer) error {
	set := flag.NewFlagSet(serveNATS, flag.ContinueOnError)
	dir := set.String("dir", "", "directory of the stored messages")
	durability := set.String("durability", string(EverySec), "everysec or always")
	if err := set.Parse(args); err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, ServerName: "peer",
		JetStream: true, StoreDir: *dir, SyncInterval: time.Second, SyncAlways: *durability == string(Always),
		Websocket: server.WebsocketOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoTLS: true},
	})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(startMax) {
		return errors.New("the NATS server is not ready for connections")
	}
	fmt.Fprintln(out, s.ClientURL(), s.WebsocketURL())
	_, err = io.Copy(io.Discard, in)
	s.Shutdown()
	s.WaitForShutdown()
	return err
}

// natsServer is the started process.
type natsServer struct {
	*process
	url, websocket string
	in             io.Closer
}

func startNATS(ctx context.Context, d Durability) (*natsServer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "peers-nats")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self, serveNATS, "--dir", dir, "--durability", string(d))
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	cmd.Stdout = write
	p, err := launch(dir, cmd)
	write.Close()
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(read).ReadString('\n')
	addresses := strings.Fields(line)
	if err != nil || len(addresses) != 2 {
		return nil, errors.Join(fmt.Errorf("the NATS server did not start: %q %w", line, err), in.Close(), p.stop())
	}
	return &natsServer{p, addresses[0], addresses[1], in}, nil
}

// stop ends the server.
func (s *natsServer) stop() error {
	if s == nil {
		return nil
	}
	_ = s.in.Close() // the orderly way; the signal below is for when it fails
	return s.process.stop()
}
