package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

const manyDevices = 100

func newDevice(name string, ends time.Time) *authserver.Device {
	return &authserver.Device{
		UserHash: hash("user code of " + name), Hash: hash(name), ClientID: "client",
		Resource: "https://mcp.example.com/mcp", Scopes: []string{"notes:read"}, ExpiresAt: ends,
	}
}

func deviceLife(t *testing.T, s authserver.Store) {
	ctx, at := t.Context(), now()
	want := newDevice("tv", at.Add(time.Minute))
	must(t, "AddDevice", s.AddDevice(ctx, want, manyDevices, at))
	got, err := s.DeviceByUserCode(ctx, want.UserHash, at)
	must(t, "DeviceByUserCode", err)
	equal(t, "device by its user code", got, want)
	got, err = s.Device(ctx, want.Hash)
	must(t, "Device", err)
	equal(t, "device", got, want)

	if _, err := s.DeviceByUserCode(ctx, want.UserHash, want.ExpiresAt); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("DeviceByUserCode at its end = %v, want ErrNotFound", err)
	}
	if _, err := s.Device(ctx, want.UserHash); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("Device by the hash of the user code = %v, want ErrNotFound", err)
	}
	if err := s.DecideDevice(ctx, want.UserHash, nil, want.ExpiresAt); !errors.Is(err, authserver.ErrTaken) {
		t.Errorf("DecideDevice at its end = %v, want ErrTaken", err)
	}
}

func deviceDecided(t *testing.T, s authserver.Store) {
	ctx, at := t.Context(), now()
	yes, no := newDevice("yes", at.Add(time.Minute)), newDevice("no", at.Add(time.Minute))
	must(t, "AddDevice", s.AddDevice(ctx, yes, manyDevices, at))
	must(t, "AddDevice", s.AddDevice(ctx, no, manyDevices, at))
	c := newCode("yes", at.Add(time.Minute))
	must(t, "DecideDevice", s.DecideDevice(ctx, yes.UserHash, c, at))
	must(t, "DecideDevice with a no", s.DecideDevice(ctx, no.UserHash, nil, at))
	for _, d := range []*authserver.Device{yes, no} {
		got, err := s.Device(ctx, d.Hash)
		if err != nil || !got.Decided {
			t.Errorf("Device after the decision = %+v, %v", got, err)
		}
		if _, err := s.DeviceByUserCode(ctx, d.UserHash, at); !errors.Is(err, authserver.ErrNotFound) {
			t.Errorf("DeviceByUserCode after the decision = %v, want ErrNotFound", err)
		}
		if err := s.DecideDevice(ctx, d.UserHash, newCode("again", at.Add(time.Minute)), at); !errors.Is(err, authserver.ErrTaken) {
			t.Errorf("DecideDevice once more = %v, want ErrTaken", err)
		}
	}
	got, err := s.Code(ctx, yes.Hash, at)
	must(t, "Code of the yes", err)
	equal(t, "code", got, c)
	for _, name := range []string{"no", "again"} {
		if _, err := s.Code(ctx, hash(name), at); !errors.Is(err, authserver.ErrNotFound) {
			t.Errorf("Code of %q = %v, want ErrNotFound", name, err)
		}
	}
}

func deviceRace(t *testing.T, s authserver.Store) {
	ctx, at := t.Context(), now()
	d := newDevice("tv", at.Add(time.Minute))
	must(t, "AddDevice", s.AddDevice(ctx, d, manyDevices, at))
	wins := race(func(i int) bool {
		err := s.DecideDevice(ctx, d.UserHash, newCode(fmt.Sprint(i), at.Add(time.Minute)), at)
		if err != nil && !errors.Is(err, authserver.ErrTaken) {
			t.Errorf("DecideDevice = %v", err)
		}
		return err == nil
	})
	if wins != 1 {
		t.Errorf("%d people decided, want 1", wins)
	}
}

func deviceLimit(t *testing.T, s authserver.Store) {
	ctx, at := t.Context(), now()
	for i := range 3 {
		must(t, "AddDevice", s.AddDevice(ctx, newDevice(fmt.Sprint(i), at.Add(time.Minute)), 3, at))
	}
	if err := s.AddDevice(ctx, newDevice("more", at.Add(time.Minute)), 3, at); !errors.Is(err, authserver.ErrFull) {
		t.Errorf("AddDevice above the limit = %v, want ErrFull", err)
	}
	must(t, "DecideDevice", s.DecideDevice(ctx, newDevice("0", at).UserHash, nil, at))
	must(t, "AddDevice in the place of a decided one", s.AddDevice(ctx, newDevice("more", at.Add(time.Hour)), 3, at))
	must(t, "AddDevice when others are past their end", s.AddDevice(ctx, newDevice("later", at.Add(time.Hour)), 3, at.Add(time.Minute)))
}
