package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/flaky"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

const diskSize = "4m"

// mountDisk mounts a small empty disk for the time of the test. That takes root,
// and without it the test fails: nothing else is a full disk.
func mountDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+diskSize); err != nil {
		t.Fatalf("mounting a small disk, which only root can: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting the small disk: %v", err)
		}
	})
	return dir
}

// fill writes a file until the disk is full but for some bytes.
func fill(t *testing.T, dir string, room int64) (file string) {
	t.Helper()
	file = filepath.Join(dir, "filler")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	defer func() {
		if info, err := f.Stat(); err != nil || f.Truncate(info.Size()-room) != nil {
			t.Fatalf("making room on the disk: %v", err)
		}
	}()
	for size := 1 << 16; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return file
}

// database is where the server in that data folder keeps its rows.
func database(data string) string {
	return filepath.Join(data, "caddy", "alter_mcp", "alter_mcp.db")
}

// postTo sends a body to an OAuth endpoint.
func postTo(t *testing.T, address, contentType, body string) reply {
	t.Helper()
	client := &http.Client{Timeout: attackTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post(address, contentType, strings.NewReader(body))
	if err != nil {
		t.Fatalf("POST %s: %v", address, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("POST %s: %v", address, err)
	}
	return reply{resp.StatusCode, resp.Header, string(text)}
}

// tryRegister asks for a client whose name is as long as is allowed.
func tryRegister(t *testing.T, c *mcpclient.Client) reply {
	t.Helper()
	return postTo(t, c.Server.RegistrationEndpoint, jsonType, `{"client_name":"`+strings.Repeat("x", 100)+
		`","redirect_uris":["http://127.0.0.1:49152/`+strings.Repeat("y", 1500)+`"],"token_endpoint_auth_method":"none"}`)
}

// tryRefresh asks for new tokens.
func tryRefresh(t *testing.T, c *mcpclient.Client) reply {
	t.Helper()
	form := url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {c.Tokens.RefreshToken},
		"client_id": {c.ClientID}, "resource": {c.Resource.Resource},
	}
	return postTo(t, c.Server.TokenEndpoint, "application/x-www-form-urlencoded", form.Encode())
}

// checkAway fails the test unless r says in the way of OAuth that the server
// cannot do it now (RFC 6749 section 4.1.2.1, RFC 9110 section 15.6.4).
func checkAway(t *testing.T, what string, r reply) {
	t.Helper()
	var body struct {
		Error string `json:"error"`
	}
	err := json.Unmarshal([]byte(r.body), &body)
	if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" || err != nil || body.Error != "temporarily_unavailable" {
		t.Errorf("%s = %d, Retry-After %q, %s; want 503 with Retry-After and temporarily_unavailable",
			what, r.status, r.header.Get("Retry-After"), r.body)
	}
}

// faultyDisk is a server on a disk that can be broken, with a person who has
// tokens and a code.
type faultyDisk struct {
	*harness.Server
	*member
	data string
	code *url.URL
	// waits is a client to whom the code belongs.
	waits *mcpclient.Client
	known []string // clients whose registration was acknowledged
}

func newFaultyDisk(t *testing.T) *faultyDisk {
	t.Helper()
	data := mountDisk(t)
	s := harness.NewFaultServer(t, faultConfig, data, flaky.Start(t, longLife))
	s.ExpectErrors("oauth request failed")
	d := &faultyDisk{Server: s, member: newMember(t, s, alice), data: data}
	d.waits = copyOf(d.Client)
	d.code = open(t, d.Browser, d.waits.AuthorizeURL(), browser.Visit{Hold: true}).URL
	return d
}

// until registers clients until the answer has that status, which must come.
func (d *faultyDisk) until(t *testing.T, status int) {
	t.Helper()
	const most = 5000
	for range most {
		r := tryRegister(t, d.Client)
		d.keep(t, r)
		if r.status == status {
			return
		}
	}
	t.Fatalf("no registration of %d was answered with %d", most, status)
}

// keep notes a registration that was acknowledged.
func (d *faultyDisk) keep(t *testing.T, r reply) {
	t.Helper()
	if r.status != http.StatusCreated {
		checkAway(t, "registration", r)
		return
	}
	var client struct {
		ID string `json:"client_id"`
	}
	if err := json.Unmarshal([]byte(r.body), &client); err != nil {
		t.Fatalf("reading a registration: %v", err)
	}
	d.known = append(d.known, client.ID)
}

// tryRedeem redeems the code while writes may fail.
func (d *faultyDisk) tryRedeem(t *testing.T) {
	t.Helper()
	err := d.waits.Redeem(t.Context(), d.code)
	var refused *mcpclient.OAuthError
	switch {
	case err == nil:
		d.code = nil
	case !errors.As(err, &refused) || refused.Code != "temporarily_unavailable":
		t.Errorf("redeeming a code that cannot be stored = %v, want temporarily_unavailable", err)
	}
}

// checkReads makes sure that what needs no writing goes on.
func (d *faultyDisk) checkReads(t *testing.T) {
	t.Helper()
	checkWhoami(t, d.Client)
	checkAsk(t, d.Client, "ok")
}

// checkMended makes sure that all works, and what was refused was not done.
func (d *faultyDisk) checkMended(t *testing.T) {
	t.Helper()
	d.checkReads(t)
	if d.code != nil {
		if err := d.waits.Redeem(t.Context(), d.code); err != nil {
			t.Errorf("redeeming the code that could not be redeemed before: %v", err)
		}
	}
	checkWhoami(t, d.waits)
	if err := d.Refresh(t.Context()); err != nil {
		t.Errorf("refresh with the token that could not be used before: %v", err)
	}
	d.checkReads(t)
}

// checkKnown makes sure that the server knows every client that it registered,
// also after a loss of power.
func (d *faultyDisk) checkKnown(t *testing.T) {
	t.Helper()
	d.Kill()
	d.Restart()
	http := &http.Client{Timeout: attackTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, id := range d.known {
		q := url.Values{
			"client_id": {id}, "response_type": {"code"}, "code_challenge_method": {"S256"}, "state": {"s"},
			"code_challenge": {strings.Repeat("A", 43)}, "redirect_uri": {"http://127.0.0.1:49152/" + strings.Repeat("y", 1500)},
		}
		resp, err := http.Get(d.Client.Server.AuthorizationEndpoint + "?" + q.Encode())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("client %s was acknowledged, and authorizing it gives %s", id, resp.Status)
		}
	}
}

// TestDiskFull fills the disk under a running server, and empties it again.
//
// Security CRASH-06.
func TestDiskFull(t *testing.T) {
	d := newFaultyDisk(t)
	filler := fill(t, d.data, 256<<10)
	d.until(t, http.StatusServiceUnavailable)

	checkAway(t, "registration", tryRegister(t, d.Client))
	d.tryRedeem(t)
	if r := tryRefresh(t, d.Client); r.status != http.StatusOK { // a smaller write may still fit in
		checkAway(t, "refresh", r)
	}
	d.checkReads(t)
	stop := open(t, newBrowser(t, d.Server, bob), d.AuthorizeURL(), browser.Visit{Hold: true})
	if !stop.Client && stop.Page.Status != http.StatusServiceUnavailable && stop.Page.Status != http.StatusInternalServerError {
		t.Errorf("login on a full disk ends with %d on the page %q: %s", stop.Page.Status, stop.Page.Title, stop.Page.Text)
	}
	d.checkReads(t)

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	d.until(t, http.StatusCreated)
	d.checkMended(t)
	d.checkKnown(t)
	t.Logf("%d clients were acknowledged", len(d.known))
	if len(d.known) < 2 {
		t.Error("none of them while there was room, which shows nothing")
	}
}

// TestDiskReadOnly starts the server on a disk that cannot be written: it says
// so, and starts when the disk can.
//
// Security CRASH-06.
func TestDiskReadOnly(t *testing.T) {
	d := newFaultyDisk(t)
	d.ExpectErrors("read-only file system")
	d.Kill()
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("tmpfs", d.data, "tmpfs", syscall.MS_REMOUNT|flags, "size="+diskSize); err != nil {
			t.Fatalf("mounting the disk anew: %v", err)
		}
	}
	remount(syscall.MS_RDONLY)
	if d.TryStart() {
		t.Error("the server starts on a disk that is read-only")
	}
	if log := d.Log(); !strings.Contains(log, "read-only file system") || !strings.Contains(log, d.data) {
		t.Errorf("the log does not say that %s is a read-only file system", d.data)
	}
	remount(0)
	d.Restart()
	d.checkMended(t)
}

// TestSlowStore holds the database locked from outside, as a disk does that
// hangs: writes wait for a while and are refused in the way of OAuth, reads go
// on, and it mends itself.
//
// Security CRASH-07.
func TestSlowStore(t *testing.T) {
	d := newFaultyDisk(t)
	script := harness.StartScript(t, time.Minute, harness.Environment(t.TempDir()), "python3", "-u", "-c", `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
	db.execute(line)
	print('{"value":null}', flush=True)
`, database(d.data))
	lock := func(statement string) {
		t.Helper()
		script.Say(statement)
		script.Find(func(string) (string, bool) { return "", true })
	}
	lock("BEGIN IMMEDIATE")
	begin := time.Now()
	answers := make(chan reply, 3)
	go func() { answers <- tryRefresh(t, d.Client) }()
	go func() { answers <- tryRegister(t, d.Client) }()
	d.checkReads(t)
	for range 2 {
		checkAway(t, "a write that waits", <-answers)
	}
	if took := time.Since(begin); took > 12*time.Second {
		t.Errorf("refusing took %v, want two waits of 5 s at most", took)
	}
	d.checkReads(t)

	go func() { answers <- tryRegister(t, d.Client) }()
	d.checkReads(t)
	lock("ROLLBACK")
	if r := <-answers; r.status != http.StatusCreated {
		t.Errorf("a write that waited for a moment = %d %s, want 201", r.status, r.body)
	}
	d.checkMended(t)
	script.End()
}
