// Package orders is what the shop knows of an order: what a valid one is, what it costs and
// where it is kept. It knows nothing of HTTP, flags or metrics.
package orders

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Order is a valid order as it is kept and shown. Money is in cents.
type Order struct {
	ID        string    `json:"id"`
	Customer  string    `json:"customer"`
	Items     []Item    `json:"items"`
	Total     int       `json:"total_cents"`
	Checkout  Checkout  `json:"checkout"`
	CreatedAt time.Time `json:"created_at"`
}

// Item is one line of an order.
type Item struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

// Request is what a customer asks for, not yet checked.
type Request struct {
	Customer string `json:"customer"`
	Items    []Item `json:"items"`
}

// Checkout names the way in which an order was taken.
type Checkout string

// Classic takes an order at its list price. Express, which the flag new-checkout opens, gives
// one tenth off.
const (
	Classic Checkout = "classic"
	Express Checkout = "express"
)

const (
	maxCustomer = 64
	maxItems    = 20
	maxQuantity = 100
)

// prices holds what is sold, in cents for one piece.
var prices = map[string]int{"coffee": 350, "tea": 280, "cake": 420}

// SKUs lists what can be ordered, in alphabetical order.
func SKUs() []string { return slices.Sorted(maps.Keys(prices)) }

// Problem says what is wrong with one field of a request.
type Problem struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// InvalidError holds everything that is wrong with a request, never just the first.
type InvalidError []Problem

func (e InvalidError) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.Field + ": " + p.Message
	}
	return "invalid order: " + strings.Join(lines, "; ")
}

// New checks a request and makes an order of it. What is wrong comes back as an InvalidError.
func New(req Request, checkout Checkout, now time.Time) (Order, error) {
	if problems := check(req); len(problems) > 0 {
		return Order{}, InvalidError(problems)
	}
	// Version 7 sorts by time, so a database's index over it stays compact.
	id, err := uuid.NewV7()
	if err != nil {
		return Order{}, fmt.Errorf("make an order id: %w", err)
	}
	return Order{
		ID:        id.String(),
		Customer:  req.Customer,
		Items:     slices.Clone(req.Items),
		Total:     total(req.Items, checkout),
		Checkout:  checkout,
		CreatedAt: now.UTC(),
	}, nil
}

func check(req Request) []Problem {
	var problems []Problem
	wrong := func(field, format string, args ...any) {
		problems = append(problems, Problem{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	switch n := utf8.RuneCountInString(req.Customer); {
	case strings.TrimSpace(req.Customer) == "":
		wrong("customer", "must not be empty")
	case n > maxCustomer:
		wrong("customer", "has %d characters, at most %d are allowed", n, maxCustomer)
	}
	switch n := len(req.Items); {
	case n == 0:
		wrong("items", "must hold at least one item")
	case n > maxItems:
		wrong("items", "holds %d items, at most %d are allowed", n, maxItems)
		return problems
	}
	for i, item := range req.Items {
		if _, sold := prices[item.SKU]; !sold {
			wrong(fmt.Sprintf("items[%d].sku", i), "must be one of %s", strings.Join(SKUs(), ", "))
		}
		if item.Quantity < 1 || item.Quantity > maxQuantity {
			wrong(fmt.Sprintf("items[%d].quantity", i), "must be between 1 and %d", maxQuantity)
		}
	}
	return problems
}

func total(items []Item, checkout Checkout) int {
	sum := 0
	for _, item := range items {
		sum += prices[item.SKU] * item.Quantity
	}
	if checkout == Express {
		sum -= sum / 10
	}
	return sum
}
