package adopt

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/tests/port"
)

func services(names ...string) func(string) string {
	return func(host string) string {
		for _, n := range names {
			if n == host {
				return n
			}
		}
		return ""
	}
}

func TestNginxIsRead(t *testing.T) {
	root, err := readNginx("n.conf", `
# a comment; with { braces }
map $a $b { "~^(\d{4})x" "${y}"; }
server { location ~* "\.(png|jpg)$" { return 200 "a;b{c}\"d"; } }
content_by_lua_block { if x then { y = "}" } -- it's }
}
log_format x '{"a":"$b"}' "c" ${d}e;
`)
	require.NoError(t, err)
	var names []string
	root.walk(func(d directive) { names = append(names, d.name) })
	require.Equal(t, []string{"map", `~^(d{4})x`, "server", "location", "return", "content_by_lua_block", "log_format"}, names)
	require.Equal(t, `a;b{c}"d`, root.all("server")[0].inside[0].inside[0].arg(1))
	require.Equal(t, 7, root.all("log_format")[0].line)
	require.Equal(t, "${d}e", root.all("log_format")[0].arg(3))
	for text, want := range map[string]string{
		"http {\n":          `n.conf:1: a "{" that is never closed`,
		"a;\n}\n":           `n.conf:2: a "}" without its "{"`,
		"server { listen }": `a directive without its ";"`,
		"a 'b":              "a quote that is never closed",
		";":                 `a ";" without a directive`,
		"x_by_lua_block {":  `a "{" that is never closed`,
	} {
		_, err := readNginx("n.conf", text)
		require.ErrorContains(t, err, want, text)
	}
}

func TestRoutesThatCannotBeMovedAreNamed(t *testing.T) {
	for _, c := range []struct{ name, conf, odd, lost string }{
		{"two services", "upstream u { server a:1; server b:1; } server { location / { proxy_pass http://u; } }", "upstream u holds a and b: one upstream is one service's; make them one service with 2 replicas", "b"},
		{"a stranger", "upstream u { server a:1; server 10.0.0.1:1; } server { location / { proxy_pass http://u; } }", "holds a and servers that are no service", "a"},
		{"two ports in a block", "upstream u { server a:1; server a:2; } server { location / { proxy_pass http://u; } }", "holds a on several ports", "a"},
		{"two ports", "server { location / { proxy_pass http://a:1; } location /b { proxy_pass http://a:2; } }", "a is reached on port 2 here and on port 1 elsewhere", "a"},
		{"a variable", "server { set $x http://a; location / { proxy_pass $x; } }", "proxy_pass by a variable", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := readRoutes("n.conf", c.conf, services("a", "b"))
			require.NoError(t, err)
			require.Len(t, r.odd, 1)
			require.Contains(t, r.odd[0], "n.conf:1: ")
			require.Contains(t, r.odd[0], c.odd)
			require.Empty(t, r.of(c.lost))
		})
	}
}

func TestHealthIsAskedThroughTheFrontDoor(t *testing.T) {
	for _, c := range []struct{ name, locations, path, want string }{
		{"all", "location / { proxy_pass http://a; }", "/healthz", "/healthz"},
		{"beginning kept", "location /api/ { proxy_pass http://a; }", "/api/up", "/api/up"},
		{"outside", "location /api/ { proxy_pass http://a; }", "/healthz", ""},
		{"beginning replaced", "location /api/ { proxy_pass http://a/; }", "/healthz", "/api/healthz"},
		{"beginning replaced by another", "location /api/ { proxy_pass http://a/v1/; }", "/v1/up", "/api/up"},
		{"exact", "location = /up { proxy_pass http://a; }", "/up", "/up"},
		{"caught by another", "location / { proxy_pass http://a; } location /healthz { return 200; }", "/healthz", ""},
		{"caught by a pattern", "location / { proxy_pass http://a; } location ~ z$ { return 200; }", "/healthz", ""},
		{"firm against the pattern", "location ^~ / { proxy_pass http://a; } location ~ z$ { return 200; }", "/healthz", "/healthz"},
		{"a pattern's own", "location ~ ^/a { proxy_pass http://a; }", "/a", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := readRoutes("n.conf", "server { "+c.locations+" }", services("a"))
			require.NoError(t, err)
			require.Equal(t, c.want, r.through("a", c.path))
		})
	}
}

func TestTheChangeKeepsWhatItDoesNotNeed(t *testing.T) {
	conf := "upstream u {\n  ip_hash;\n  server a:8000 weight=3 max_fails=2;\n  server web:8000 backup; # second\n  keepalive 8;\n}\n" +
		"server {\n  location / {\n    proxy_pass http://u;\n  }\n  location /x {\n    fastcgi_pass a:8000;\n  }\n}\n"
	same := func(host string) string {
		if host == "a" || host == "web" { // a network alias
			return "a"
		}
		return ""
	}
	r, err := readRoutes("n.conf", conf, same)
	require.NoError(t, err)
	after, notes := changeNginx(r, conf, []string{"a"}, true)
	require.Contains(t, after, "  ip_hash;\n  include /etc/nginx/hive.d/a.conf;\n # second\n  keepalive 8;\n")
	require.Contains(t, after, "fastcgi_pass u;")
	require.Contains(t, after, "keepalive_min_timeout 2s;")
	require.Len(t, notes, 2)
	require.Contains(t, notes[0], "weight=3 of the server line is lost")
	require.Contains(t, notes[1], "backup of the server line is lost")
	_, err = readNginx("n.conf", after)
	require.NoError(t, err)

	again, err := readRoutes("n.conf", after, same)
	require.NoError(t, err)
	twice, _ := changeNginx(again, after, []string{"a"}, true)
	require.Equal(t, after, twice)
}

func TestDiffIsWhatPatchTakes(t *testing.T) {
	if _, err := exec.LookPath("patch"); err != nil {
		t.Skip("no patch on this machine")
	}
	before := strings.Join(strings.Split("a b c d e f g h i j k l m n o p q r s t", " "), "\n")
	for _, after := range []string{
		strings.Replace(before, "c\n", "C\nC\n", 1), strings.Replace(before, "a\n", "", 1), before + "\nu\n",
		strings.NewReplacer("b\n", "", "j\n", "J\nJJ\n", "s\n", "").Replace(before), "x\n" + before,
	} {
		file := filepath.Join(t.TempDir(), "f")
		require.NoError(t, os.WriteFile(file, []byte(before), 0o600))
		command := exec.CommandContext(t.Context(), "patch", "-s", file)
		command.Stdin = strings.NewReader(unified("f", before, after))
		out, err := command.CombinedOutput()
		require.NoError(t, err, "%s", out)
		have, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, after, string(have))
	}
	require.Empty(t, unified("f", before, before))
}

func TestKeepaliveIsAddedOnlyWhereItIsKnown(t *testing.T) {
	for image, want := range map[string]bool{
		"nginx:1.28-alpine": true, "nginx:1.27.4": true, "nginx:1.27.3": false, "nginx:1.27": false, "nginx:latest": false, "nginx": false,
		"registry.example.com:5000/nginx:1.29.1": true, "nginx:alpine": false, "nginx:1.22": false,
	} {
		require.Equal(t, want, knowsKeepalive(image), image)
	}
}

// A real nginx takes the changed configurations, answers with the headers, and writes
// the log that hive reads.
func TestNginxServesTheChange(t *testing.T) {
	binary := "/usr/sbin/nginx"
	if _, err := os.Stat(binary); err != nil {
		t.Skip("no nginx on this machine; tests/servers.sh installs it")
	}
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.URL.Path) }))
	t.Cleanup(backend.Close)
	address := strings.TrimPrefix(backend.URL, "http://")
	for _, c := range []struct{ name, conf, ask, want, upstream string }{
		{"shop", "", "/healthz", "/healthz", "web"},
		{"fixed", "http {\n%s\n}\n", "/api/up", "/up", "api"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := look(t, c.name)
			dir := t.TempDir()
			at := strconv.Itoa(port.Reserve(t))
			text := p.Proxy.changed
			if c.conf != "" {
				text = "events {}\n" + fmt.Sprintf(c.conf, text)
			}
			for _, name := range []string{"web", "api", "frontend"} {
				require.NoError(t, os.MkdirAll(filepath.Join(dir, "hive.d"), 0o755))
				require.NoError(t, os.WriteFile(filepath.Join(dir, "hive.d", name+".conf"), []byte("server "+address+";\n"), 0o600))
			}
			require.NoError(t, os.WriteFile(filepath.Join(dir, "hive.d/generation.conf"), []byte(p.addressFiles(".")[0].Text), 0o600))
			text = strings.NewReplacer(
				"/etc/nginx/hive.d", filepath.Join(dir, "hive.d"), "/var/log/hive", dir, "/usr/share/nginx/html", dir, "/var/log/nginx", dir,
				"listen 80;", "listen 127.0.0.1:"+strconv.Itoa(port.Reserve(t))+";", "listen 443 ssl;", "listen 127.0.0.1:"+at+";", "include mime.types;", "",
				"keepalive_min_timeout 2s;", "", // the nginx of this machine may be older
			).Replace(text)
			if c.name == "shop" {
				text = strings.Replace(text, "listen 127.0.0.1:", "listen 127.0.0.1:"+at+"; listen 127.0.0.1:", 1)
			}
			conf := filepath.Join(dir, "nginx.conf")
			require.NoError(t, os.WriteFile(conf, []byte("user root;\ndaemon off;\npid "+dir+"/nginx.pid;\n"+strings.Replace(text, "worker_processes auto;", "", 1)), 0o600))
			ctx, stop := context.WithCancel(t.Context())
			command := exec.CommandContext(ctx, binary, "-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", conf)
			command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
			command.WaitDelay = 5 * time.Second
			var said strings.Builder
			command.Stderr = &said
			require.NoError(t, command.Start())
			t.Cleanup(func() { stop(); _ = command.Wait() })

			var res *http.Response
			require.Eventually(t, func() bool {
				var err error
				res, err = http.Get("http://127.0.0.1:" + at + c.ask)
				return err == nil
			}, patience, 20*time.Millisecond, "nginx does not answer")
			defer res.Body.Close()
			body := make([]byte, len(c.want))
			_, err := res.Body.Read(body)
			require.True(t, err == nil || len(body) > 0)
			require.Equal(t, c.want, string(body))
			require.Equal(t, "1", res.Header.Get("X-Hive-Generation"))
			require.Equal(t, address, res.Header.Get("X-Hive-Instance"))

			own, err := http.Get("http://127.0.0.1:" + at + "/.hive/generation")
			require.NoError(t, err)
			require.NoError(t, own.Body.Close())
			require.Equal(t, http.StatusNoContent, own.StatusCode)
			require.Equal(t, "1", own.Header.Get("X-Hive-Generation"))
			require.Empty(t, own.Header.Get("X-Hive-Instance"), "nginx answered by itself, and says so")

			require.Eventually(t, func() bool {
				files, err := filepath.Glob(filepath.Join(dir, "access-20*.log"))
				if err != nil || len(files) == 0 {
					return false
				}
				raw, err := os.ReadFile(files[0])
				var line struct {
					URI  string `json:"uri"`
					Addr string `json:"upstream_addr"`
				}
				return err == nil && json.Unmarshal(raw, &line) == nil && line.URI != "" && line.Addr == address
			}, patience, 50*time.Millisecond, "the log has no line of the request")
		})
	}
}

func FuzzReadNginx(f *testing.F) {
	f.Add("server { location / { proxy_pass http://a:1; } }")
	f.Add("http{server{proxy_pass;}}")
	f.Add("a 'b\\' c'; x_by_lua_block { } ${d")
	f.Fuzz(func(t *testing.T, conf string) {
		r, err := readRoutes("n.conf", conf, services("a"))
		if err != nil {
			return
		}
		after, _ := changeNginx(r, conf, []string{"a"}, true)
		_, err = readNginx("n.conf", after)
		require.NoError(t, err, after)
	})
}
