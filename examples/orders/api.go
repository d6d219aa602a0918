package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/requestid"

	"github.com/fibership/orders/internal/orders"
)

// defaultLimit and maxLimit bound how many orders one answer lists.
const (
	defaultLimit = 20
	maxLimit     = 100
)

// listOrders gives {"orders": […]}, the newest first, at most ?limit of them.
func (s *service) listOrders(c fiber.Ctx) error {
	limit := defaultLimit
	if asked := c.Query("limit"); asked != "" {
		n, err := strconv.Atoi(asked)
		if err != nil || n < 1 || n > maxLimit {
			return fiber.NewError(fiber.StatusBadRequest, fmt.Sprintf("limit must be a number between 1 and %d", maxLimit))
		}
		limit = n
	}
	latest, err := s.store.Latest(c.Context(), limit)
	if err != nil {
		return fmt.Errorf("list orders: %w", err)
	}
	return c.JSON(struct {
		Orders []orders.Order `json:"orders"`
	}{latest})
}

// customerHeader names the customer where a request's body does not.
const customerHeader = "X-User"

// errPayment is the answer of a provider that takes no money.
var errPayment = errors.New("the payment provider refused")

// showCheckout says how the customer in X-User, or ?customer=, would order: {"checkout":
// "express", "payment": "house"}. Nothing is ordered.
func (s *service) showCheckout(c fiber.Ctx) error {
	key := s.key(c, c.Query("customer"))
	provider, err := s.pay(c.Context(), key)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.JSON(struct {
		Checkout orders.Checkout `json:"checkout"`
		Payment  string          `json:"payment"`
	}{s.checkout(c.Context(), key), provider})
}

// createOrder answers 201 with the order and where to find it.
func (s *service) createOrder(c fiber.Ctx) error {
	req, err := decode(c.Body())
	if err != nil {
		return fiber.NewError(fiber.StatusBadRequest, err.Error())
	}
	key := s.key(c, req.Customer)
	order, err := orders.New(req, s.checkout(c.Context(), key), time.Now())
	if err != nil {
		return err
	}
	if _, err := s.pay(c.Context(), key); err != nil {
		return err
	}
	if err := s.store.Add(c.Context(), order); err != nil {
		return fmt.Errorf("keep order %s: %w", order.ID, err)
	}
	s.log.Info("order taken", "id", requestid.FromContext(c), "order", order.ID, "checkout", order.Checkout, "total_cents", order.Total)
	c.Location("/orders/" + order.ID)
	return c.Status(fiber.StatusCreated).JSON(order)
}

func (s *service) showOrder(c fiber.Ctx) error {
	order, err := s.store.Get(c.Context(), c.Params("id"))
	if err != nil {
		return fmt.Errorf("show an order: %w", err)
	}
	return c.JSON(order)
}

// key is what flags decide by: a customer stays on the side where the first answer put him; who
// is unknown is counted by request.
func (s *service) key(c fiber.Ctx, customer string) string {
	for _, key := range []string{c.Get(customerHeader), customer} {
		if key != "" {
			return key
		}
	}
	return requestid.FromContext(c)
}

// checkout asks the flag which one the customer gets.
func (s *service) checkout(ctx context.Context, key string) orders.Checkout {
	if s.flags.express(ctx, key) {
		return orders.Express
	}
	return orders.Classic
}

// pay asks the flag who takes the customer's money, and whether they do.
func (s *service) pay(ctx context.Context, key string) (provider string, err error) {
	if provider = s.flags.provider(ctx, key); provider == faulty {
		return provider, fmt.Errorf("pay with %s: %w", provider, errPayment)
	}
	return provider, nil
}

// decode reads one JSON object and refuses what it does not know: a misspelt field is better
// told than lost.
func decode(body []byte) (orders.Request, error) {
	var req orders.Request
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil {
		if errors.Is(err, io.EOF) {
			return req, errors.New("the body is empty, an order in JSON is expected")
		}
		return req, fmt.Errorf("the body is no order in JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return req, errors.New("the body holds more than one JSON value")
	}
	return req, nil
}
