// Command xdg-open takes the place of the desktop's command of that name: it
// hands an address to the browser of a test, which E2E_BROWSER names.
package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "xdg-open:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	desk := os.Getenv(browser.Variable)
	if len(args) != 1 || desk == "" {
		return fmt.Errorf("usage: %s=http://127.0.0.1:PORT/ xdg-open URL", browser.Variable)
	}
	client := &http.Client{Timeout: 10 * time.Second}
	resp, err := client.PostForm(desk, url.Values{"url": args})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("the browser answers %s", resp.Status)
	}
	return nil
}
