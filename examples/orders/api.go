package main

import (
	"bytes"
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

// createOrder answers 201 with the order and where to find it.
func (s *service) createOrder(c fiber.Ctx) error {
	req, err := decode(c.Body())
	if err != nil {
		return fiber.NewError(fiber.StatusBadRequest, err.Error())
	}
	order, err := orders.New(req, s.checkout(c, req.Customer), time.Now())
	if err != nil {
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

// checkout asks the flag. A customer stays on the side where the first answer put him; who is
// unknown is counted by request.
func (s *service) checkout(c fiber.Ctx, customer string) orders.Checkout {
	if customer == "" {
		customer = requestid.FromContext(c)
	}
	if s.flags.express(c.Context(), customer) {
		return orders.Express
	}
	return orders.Classic
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
