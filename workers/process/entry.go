package process

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/leanvibe/hive/workers/process/access"
)

// entry is all that a request passes before its handler.
type entry struct {
	limits      access.Limits
	tokens      *access.File        // nil: access is open
	certificate *access.Certificate // nil: plain HTTP
	door        *access.Door
	guard       *access.Guard
	failed      func()
}

func newEntry(cfg Config, m *metrics) (*entry, error) {
	refused := func(reason string) { m.turnedAway.WithLabelValues(reason).Inc() }
	e := &entry{limits: cfg.Limits, failed: m.fileErrors.Inc}
	var err error
	if cfg.AccessFile != "" {
		if e.tokens, err = access.OpenFile(cfg.AccessFile); err != nil {
			return nil, err
		}
	}
	if e.certificate, err = access.OpenCertificate(cfg.TLSCert, cfg.TLSKey); err != nil {
		return nil, err
	}
	e.door = access.NewDoor(e.tokens, refused)
	e.guard = access.NewGuard(cfg.Limits, refused)
	return e, nil
}

// announce says once how the door stands. A process that serves nothing but the
// endpoints of operation has no door.
func (e *entry) announce(p *Process) {
	switch {
	case !p.serves:
	case e.tokens == nil:
		p.Log.Warn("access is open: whoever reaches this port may do everything; name a file of tokens in HIVE_ACCESS_FILE")
	default:
		p.Log.Info("access needs a token", "tokens", e.tokens.Len())
	}
	if e.certificate != nil && e.certificate.Expired() {
		p.Log.Error("the TLS certificate has expired", "file", p.cfg.TLSCert)
	}
}

// watch reads the files again when they change, or on SIGHUP.
func (e *entry) watch(ctx context.Context, log *slog.Logger) {
	files := map[string]access.Watched{}
	if e.tokens != nil {
		files["tokens"] = e.tokens
	}
	if e.certificate != nil {
		files["TLS pair"] = e.certificate
	}
	if len(files) == 0 {
		return
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	w := access.Watcher{Files: files, Every: access.WatchEvery, Hangup: hangup, Log: log, Failed: e.failed}
	w.Run(ctx)
}

// bound gives the server its limits and protocols.
func (e *entry) bound(srv *http.Server) {
	srv.MaxHeaderBytes = e.limits.HeaderBytes
	srv.ReadHeaderTimeout = e.limits.HeaderTimeout
	srv.IdleTimeout = e.limits.IdleTimeout
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.HTTP2 = &http.HTTP2Config{
		// Who has gone without a word is found, and who does not read.
		SendPingTimeout: e.limits.IdleTimeout / 3, PingTimeout: e.limits.WriteGrace, WriteByteTimeout: e.limits.WriteGrace,
	}
	if e.certificate != nil {
		srv.Protocols.SetHTTP2(true)
		srv.TLSConfig = e.certificate.Config()
		return
	}
	// gRPC and Connect clients inside the network speak HTTP/2 without TLS.
	srv.Protocols.SetUnencryptedHTTP2(true)
}

func (e *entry) serve(srv *http.Server, l net.Listener) error {
	if e.certificate != nil {
		return srv.ServeTLS(l, "", "")
	}
	return srv.Serve(l)
}
