package alter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// A server of any kind, without Caddy, reads a person's mail: the person is named
// by a token of the app's identity provider.
func Example() {
	client, err := alter.New(alter.Config{
		APIKey: vaultclient.NewSecret("alter_rk_fakevaultfakevaultfake_2whbul"),
		Caller: alter.Caller{Name: "mail-reader"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	read := func(ctx context.Context, userToken vaultclient.Secret) error {
		ctx = alter.WithAuditContext(ctx, map[string]string{"tool": "list_messages"})
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://gmail.googleapis.com/gmail/v1/users/me/messages", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req, alter.Use{Grant: alter.Grant{Provider: "google", UserToken: userToken}})
		switch {
		case errors.Is(err, alter.ErrGrantNotFound), errors.Is(err, alter.ErrReauthRequired):
			return fmt.Errorf("the person has to connect an account: %w", err)
		case err != nil:
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
		return err
	}
	_ = read // called for each request of a person

	fmt.Println(client.KeyKind())
	// Output: rk
}
