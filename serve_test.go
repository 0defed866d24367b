package altermcp

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// aliceHash is bcrypt of "secret" at the least cost.
const aliceHash = "$2a$04$tKLYY4fOfTdHyZceHKRHf.efTPaEngL9iAk/oMkOAgof9SaMORUCK"

// identityAlice is the smallest identity.
const identityAlice = "identity local {\nuser alice " + aliceHash + " {\nemail alice@example.com\nname Alice\n}\n}\n"

// testServer is a Caddy that runs in this process, with a configuration of its own.
// There is one at a time.
type testServer struct {
	*testing.T
	port string
	dir  string
	http *http.Client
}

// serve runs Caddy with the site blocks. In them PORT stands for a free port and
// DIR for a folder of the test's own, with files to serve in www.
func serve(t *testing.T, sites string) *testServer { t.Helper(); return serveWith(t, "", sites) }

// serveWith is serve with further global options.
func serveWith(t *testing.T, options, sites string) *testServer {
	t.Helper()
	s := newServer(t)
	if err := s.load(options, sites); err != nil {
		t.Fatal(err)
	}
	return s
}

// newServer is a testServer that runs once it has loaded a configuration.
func newServer(t *testing.T) *testServer {
	t.Helper()
	s := &testServer{T: t, port: freePort(t), dir: t.TempDir(), http: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Setenv("XDG_DATA_HOME", s.dir)
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := os.Mkdir(filepath.Join(s.dir, "www"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"hello.txt": "hello file", "index.html": "index file"} {
		if err := os.WriteFile(filepath.Join(s.dir, "www", file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// load replaces the configuration. A request right after it may meet the old
// server on its way out.
func (s *testServer) load(options, sites string) error {
	s.Helper()
	global := "{\n" + options + "admin off\npersist_config off\nskip_install_trust\ngrace_period 1s\nlog {\nlevel ERROR\n}\nstorage file_system DIR/storage\nhttp_port " + s.port + "\n}\n"
	cfg, err := adaptJSON(strings.NewReplacer("PORT", s.port, "DIR", s.dir).Replace(global + sites))
	if err != nil {
		return err
	}
	return caddy.Load(cfg, true)
}

func adaptJSON(text string) ([]byte, error) {
	out, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	return out, err
}

// freePort returns a port that nobody listens at. It is below those that the
// system gives to whoever connects, which could take it before the server does.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 11000+rand.IntN(20000)))
		if err != nil {
			continue
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("found no free port")
	return ""
}

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request to the server; host is what the Host header says, and
// header are names and values.
func (s *testServer) do(method, host, path string, header ...string) answer {
	s.Helper()
	req, err := http.NewRequest(method, "http://127.0.0.1:"+s.port+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	req.Host = strings.ReplaceAll(host, "PORT", s.port)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.http.Do(req)
	for range 10 { // Caddy resets connections to the listener of a configuration that it gives up
		if err == nil {
			break
		}
		resp, err = s.http.Do(req)
	}
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// member returns a string member of a JSON answer.
func (a answer) member(name string) string {
	var doc map[string]any
	if json.Unmarshal([]byte(a.body), &doc) != nil {
		return ""
	}
	return fmt.Sprint(doc[name])
}

// filesBelow lists the files in a folder.
func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
