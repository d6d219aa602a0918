package orders

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestNew_namesEveryProblem(t *testing.T) {
	for name, tc := range map[string]struct {
		req  Request
		want []string // fields
	}{
		"empty":             {Request{}, []string{"customer", "items"}},
		"blank customer":    {Request{Customer: "  ", Items: []Item{{"tea", 1}}}, []string{"customer"}},
		"long customer":     {Request{Customer: strings.Repeat("ü", 65), Items: []Item{{"tea", 1}}}, []string{"customer"}},
		"unknown and none":  {Request{Customer: "ada", Items: []Item{{"tea", 1}, {"gold", 0}}}, []string{"items[1].sku", "items[1].quantity"}},
		"quantity too high": {Request{Customer: "ada", Items: []Item{{"tea", 101}}}, []string{"items[0].quantity"}},
		"too many items":    {Request{Customer: "ada", Items: make([]Item, 21)}, []string{"items"}},
		"valid":             {Request{Customer: strings.Repeat("ü", 64), Items: []Item{{"tea", 100}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.req, Classic, time.Now())
			var invalid InvalidError
			errors.As(err, &invalid)
			var got []string
			for _, p := range invalid {
				got = append(got, p.Field)
			}
			if strings.Join(got, " ") != strings.Join(tc.want, " ") {
				t.Errorf("wrong fields %v, want %v (%v)", got, tc.want, err)
			}
		})
	}
}

func TestNew_expressGivesATenthOff(t *testing.T) {
	req := Request{Customer: "ada", Items: []Item{{"coffee", 2}, {"cake", 1}}}
	for checkout, want := range map[Checkout]int{Classic: 1120, Express: 1008} {
		order, err := New(req, checkout, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if order.Total != want {
			t.Errorf("%s: total %d, want %d", checkout, order.Total, want)
		}
	}
}

func TestMemory_keepsTheNewest(t *testing.T) {
	store := NewMemory(3)
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		if err := store.Add(t.Context(), Order{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Get(t.Context(), "b"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the forgotten order: %v, want ErrNotFound", err)
	}
	for n, want := range map[int]string{0: "", 2: "ed", 3: "edc", 9: "edc"} {
		latest, err := store.Latest(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		for _, o := range latest {
			got += o.ID
		}
		if got != want {
			t.Errorf("latest %d: %q, want %q", n, got, want)
		}
	}
}
