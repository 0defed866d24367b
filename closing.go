package altermcp

import (
	"context"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
)

// closing tells what waits for people that its configuration is about to stop.
// Caddy's own context ends too late: only after the HTTP app has stopped, which
// waits for open requests when the process exits. It is safe for concurrent use.
type closing struct {
	context.Context
	begin context.CancelFunc
}

// newClosing returns one that begins when ctx's configuration is about to stop.
// It must be called while the app is provisioned.
func newClosing(ctx caddy.Context) (*closing, error) {
	app, err := ctx.App("events")
	if err != nil {
		return nil, fmt.Errorf("listening for the end of the configuration: %w", err)
	}
	c := new(closing)
	c.Context, c.begin = context.WithCancel(context.Background())
	if err := app.(*caddyevents.App).On("stopping", c); err != nil {
		return nil, fmt.Errorf("listening for the end of the configuration: %w", err)
	}
	return c, nil
}

// Handle implements [caddyevents.Handler].
func (c *closing) Handle(context.Context, caddy.Event) error {
	c.begin()
	return nil
}
