package altermcp

import (
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// unmarshalRegistration reads who may register. Syntax:
//
//	registration off
//	registration {
//	    rate        <count> [<window>]
//	    max_clients <count>
//	    unused_for  <duration>
//	    idle_for    <duration>
//	}
func (h *Handler) unmarshalRegistration(d *caddyfile.Dispenser) error {
	h.Registration = new(Registration)
	if d.NextArg() {
		if d.Val() != "off" {
			return d.Errf("registration %q: want off, or a block", d.Val())
		}
		h.Registration.Off = true
		if d.NextArg() {
			return d.Errf("registration off takes nothing more, found %q", d.Val())
		}
	}
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if h.Registration.Off {
			return d.Err("registration is off and has no block")
		}
		if err := seen.check(d); err != nil {
			return err
		}
		if err := h.Registration.unmarshalSetting(d); err != nil {
			return err
		}
	}
	return nil
}

func (r *Registration) unmarshalSetting(d *caddyfile.Dispenser) error {
	switch d.Val() {
	case "rate":
		return rate(d, &r.Rate, &r.Window)
	case "max_clients":
		return count(d, &r.MaxClients)
	case "unused_for":
		return positive(d, &r.UnusedFor)
	case "idle_for":
		return positive(d, &r.IdleFor)
	}
	return unknown(d, "registration", "rate", "max_clients", "unused_for", "idle_for")
}

// rate reads how often something may be done, and over which time.
func rate(d *caddyfile.Dispenser, times *int, window *caddy.Duration) error {
	args := d.RemainingArgs()
	if len(args) == 0 || len(args) > 2 {
		return d.Errf("rate takes a count and a window such as 10m, found %d values", len(args))
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n <= 0 {
		return d.Errf("rate %q: want a whole number above 0", args[0])
	}
	*times = n
	if len(args) == 2 {
		over, err := caddy.ParseDuration(args[1])
		if err != nil || over <= 0 {
			return d.Errf("rate window %q: want a duration such as 10m", args[1])
		}
		*window = caddy.Duration(over)
	}
	return nil
}

// unmarshalLifetimes reads how long things last. Syntax:
//
//	lifetimes {
//	    access_token  <duration>
//	    code          <duration>
//	    login         <duration>
//	    session       <duration>
//	    refresh       <duration>
//	    refresh_grace <duration>
//	    connect_link  <duration>
//	    mcp_session   <duration>
//	    max_staleness <duration>
//	}
func (h *Handler) unmarshalLifetimes(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("lifetimes takes a block, found %q", d.Val())
	}
	l := new(Lifetimes)
	h.Lifetimes = l
	fields := map[string]*caddy.Duration{
		"access_token": &l.AccessToken, "code": &l.Code, "login": &l.Login, "session": &l.Session,
		"refresh": &l.Refresh, "connect_link": &l.ConnectLink, "mcp_session": &l.MCPSession, "max_staleness": &l.MaxStaleness,
	}
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.check(d); err != nil {
			return err
		}
		if d.Val() == "refresh_grace" { // the one that may be 0
			l.RefreshGrace = new(caddy.Duration)
			if err := duration(d, l.RefreshGrace); err != nil {
				return err
			}
			continue
		}
		field := fields[d.Val()]
		if field == nil {
			return unknown(d, "lifetimes", "access_token", "code", "login", "session", "refresh",
				"refresh_grace", "connect_link", "mcp_session", "max_staleness")
		}
		if err := positive(d, field); err != nil {
			return err
		}
	}
	return nil
}

// unmarshalLimits reads how much a request may ask for. Syntax:
//
//	limits {
//	    body     <size>
//	    nesting  <count>
//	    batch    <count>
//	    page     <count>
//	    requests <count>
//	}
func (h *Handler) unmarshalLimits(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("limits takes a block, found %q", d.Val())
	}
	h.Limits = new(Limits)
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.check(d); err != nil {
			return err
		}
		var err error
		switch d.Val() {
		case "body":
			err = size(d, &h.Limits.Body)
		case "nesting":
			err = count(d, &h.Limits.Nesting)
		case "batch":
			err = count(d, &h.Limits.Batch)
		case "page":
			err = count(d, &h.Limits.Page)
		case "requests":
			err = count(d, &h.Limits.Requests)
		default:
			err = unknown(d, "limits", "body", "nesting", "batch", "page", "requests")
		}
		if err != nil {
			return err
		}
	}
	return nil
}
