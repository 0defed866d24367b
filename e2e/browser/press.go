package browser

import (
	"context"
	"fmt"
	"maps"
	"strings"
)

// Press presses a button of a form that the person did not come for, such as
// logging out: of the first form whose action ends with path, the first button
// of the given name, which is empty for one without. It returns the answer,
// which is nil when that is a redirect.
func (b *Browser) Press(ctx context.Context, p *Page, path, name string) (*Page, error) {
	for _, form := range p.Forms {
		if !strings.HasSuffix(form.action.Path, path) {
			continue
		}
		for _, button := range form.buttons {
			if button.name != name {
				continue
			}
			values := maps.Clone(form.values)
			if name != "" {
				values.Set(name, button.value)
			}
			page, _, err := b.do(ctx, &step{method: form.method, url: form.action, form: values, from: p, site: relation(p.URL, form.action)})
			return page, err
		}
	}
	return nil, fmt.Errorf("page %q has no form for %s with a button %q", p.Title, path, name)
}
