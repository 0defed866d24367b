// The client of the Go SDK. Usage: client MCP-URL
//
// It prints one JSON object a line. At {"step":"authorize"} the test opens the
// URL in the person's browser; after {"step":"tools"} it names tools to call, one
// a line, and ends its output when it is done.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

const timeout = 10 * time.Minute

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := run(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func say(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }

func run(ctx context.Context, url string) error {
	handler, err := newHandler()
	if err != nil {
		return err
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "e2e-go", Version: "1.0.0"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) {
			_ = say(map[string]any{"step": "progress", "progress": req.Params}) // the test misses it
		},
	})
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url, OAuthHandler: handler}, nil)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	if err := useTools(ctx, session); err != nil {
		return err
	}
	return session.Close()
}

// useTools calls the tools that the test names.
func useTools(ctx context.Context, session *mcp.ClientSession) error {
	listed, err := session.ListTools(ctx, nil)
	if err != nil {
		return fmt.Errorf("listing the tools: %w", err)
	}
	var names []string
	for _, tool := range listed.Tools {
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	if err := say(map[string]any{"step": "tools", "protocol": session.InitializeResult().ProtocolVersion, "names": names}); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		params := &mcp.CallToolParams{Name: lines.Text(), Arguments: map[string]any{}}
		params.SetProgressToken(lines.Text())
		result, err := session.CallTool(ctx, params)
		if err != nil {
			return fmt.Errorf("calling %s: %w", lines.Text(), err)
		}
		if err := say(map[string]any{"step": "call", "name": lines.Text(), "result": result}); err != nil {
			return err
		}
	}
	return lines.Err()
}

// newHandler listens for the redirects of the authorization server and returns a
// handler that registers and logs in.
func newHandler() (*auth.AuthorizationCodeHandler, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the redirect: %w", err)
	}
	received := make(chan *auth.AuthorizationResult, 1)
	server := &http.Server{ReadHeaderTimeout: timeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); r.URL.Path == "/callback" {
			received <- &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}
		}
		fmt.Fprintln(w, "You may close this window.")
	})}
	go server.Serve(ln) //nolint:errcheck // it ends with the program
	redirect := "http://" + ln.Addr().String() + "/callback"
	return auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
			ClientName: "Go SDK", RedirectURIs: []string{redirect},
			GrantTypes: []string{"authorization_code", "refresh_token"},
		}},
		RedirectURL:         redirect,
		RequestRefreshToken: true,
		AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			if err := say(map[string]any{"step": "authorize", "url": args.URL}); err != nil {
				return nil, err
			}
			select {
			case result := <-received:
				return result, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	})
}
