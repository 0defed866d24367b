package browser

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// tabs are those that a way opens beside its own. Each address is opened once,
// however often its page comes.
type tabs struct {
	ctx      context.Context
	browser  *Browser
	decision string

	opened map[string]bool
	stops  []*Stop
	errs   []error
	wait   sync.WaitGroup
}

func newTabs(ctx context.Context, b *Browser, decision string) *tabs {
	return &tabs{ctx: ctx, browser: b, decision: decision, opened: make(map[string]bool)}
}

// open follows the links of a page that waits for what the person does
// elsewhere.
func (t *tabs) open(p *Page) error {
	if p.Refresh == nil {
		return nil
	}
	if len(p.Tabs) == 0 {
		return fmt.Errorf("page %q waits, but leads nowhere", p.Title)
	}
	for _, u := range p.Tabs {
		if t.opened[u.String()] {
			continue
		}
		t.opened[u.String()] = true
		i := len(t.stops)
		t.stops, t.errs = append(t.stops, new(Stop)), append(t.errs, nil)
		stop, fail := t.stops[i], &t.errs[i]
		t.wait.Go(func() {
			way, err := t.browser.Open(t.ctx, u.String(), Visit{Decision: t.decision})
			*stop, *fail = *way, err
		})
	}
	return nil
}

// close waits for the ends of all tabs.
func (t *tabs) close() ([]*Stop, error) {
	t.wait.Wait()
	return t.stops, errors.Join(t.errs...)
}
