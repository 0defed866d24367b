// Command altervault serves the fake Alter Vault of package altertest on
// loopback for tests in other processes. Its only line of output is a JSON
// object that says where it is.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address, which must be on loopback")
	agent := flag.String("agent", "research-bot", "name of the managed agent")
	life := flag.Duration("token-life", time.Hour, "life of the user tokens of people who log in")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *agent, *life); err != nil {
		fmt.Fprintln(os.Stderr, "altervault:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen, agent string, life time.Duration) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	defer func() { _ = l.Close() }()
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return fmt.Errorf("%s is not on loopback", l.Addr())
	}
	v, err := altertest.New(altertest.Config{
		BaseURL: "http://" + l.Addr().String(), TokenLife: life,
		Agents: []altertest.Agent{{ID: altertest.AgentID(agent), Name: agent}},
	})
	if err != nil {
		return err
	}
	where := map[string]string{
		"base_url": v.URL, "api_key": v.APIKey(), "issuer": v.Issuer(), "audience": v.Audience(),
		"provider_url": v.URL + "/provider", "agent_id": altertest.AgentID(agent),
	}
	if err := json.NewEncoder(os.Stdout).Encode(where); err != nil {
		return fmt.Errorf("saying where it is: %w", err)
	}
	return v.Serve(ctx, l)
}
