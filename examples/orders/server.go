package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	recovery "github.com/gofiber/fiber/v3/middleware/recover"
	"github.com/gofiber/fiber/v3/middleware/requestid"

	"github.com/fibership/orders/internal/orders"
)

// storeLimit keeps the store within the pod's memory.
const storeLimit = 5000

// maxRequestID bounds what a client can write into our logs.
const maxRequestID = 128

// service is the shop, and what its handlers share.
type service struct {
	cfg       config
	log       *slog.Logger
	lifecycle lifecycle
	store     orders.Store
	flags     flags
	metrics   *metrics
	page      *page
	pod       string
}

func newService(cfg config, logger *slog.Logger) (*service, error) {
	page, err := newPage(cfg)
	if err != nil {
		return nil, err
	}
	pod, err := os.Hostname() // in a pod, its name
	if err != nil {
		return nil, fmt.Errorf("find the host's name: %w", err)
	}
	return &service{
		cfg: cfg, log: logger, pod: pod, page: page,
		store: orders.NewMemory(storeLimit), flags: newFlags(), metrics: newMetrics(),
	}, nil
}

// app joins the routes. What comes before observe is for the cluster alone.
func (s *service) app() *fiber.App {
	app := fiber.New(fiber.Config{
		AppName:      "orders",
		ErrorHandler: s.problem,
		Immutable:    true, // what is read from a request may be kept after it
		BodyLimit:    64 << 10,
		ReadTimeout:  10 * time.Second,
		WriteTimeout: 10 * time.Second,
		// Longer than a proxy in front keeps its connections, so that it is never we who close
		// one just as a request is on its way.
		IdleTimeout: 2 * time.Minute,
	})
	app.Use(s.farewell)
	app.Get("/livez", func(c fiber.Ctx) error { return c.SendString("ok\n") })
	app.Get("/readyz", s.readyz)
	app.Get("/metrics", adaptor.HTTPHandler(s.metrics.handler()))

	app.Use(boundRequestID, requestid.New(), s.observe, recovery.New(recovery.Config{
		EnableStackTrace: true, StackTraceHandler: s.logPanic,
	}))
	app.Get("/", s.showPage)
	app.Get("/public/*", s.page.static)
	app.Get("/version", s.showVersion)
	app.Get("/checkout", s.showCheckout)
	app.Get("/orders", s.listOrders)
	app.Post("/orders", s.createOrder)
	app.Get("/orders/:id", s.showOrder)
	return app
}

// farewell closes each connection with its answer once the service drains.
func (s *service) farewell(c fiber.Ctx) error {
	err := c.Next()
	if s.lifecycle.phase() == draining {
		c.Response().SetConnectionClose()
	}
	return err
}

func (s *service) readyz(c fiber.Ctx) error {
	now := s.lifecycle.phase()
	if now != ready {
		c.Status(fiber.StatusServiceUnavailable)
	}
	return c.SendString(now.String() + "\n")
}

func (s *service) showVersion(c fiber.Ctx) error {
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.JSON(struct {
		Service string `json:"service"`
		Release string `json:"release"`
		Version string `json:"version"`
		Stage   stage  `json:"stage"`
		Pod     string `json:"pod"`
	}{"orders", release, version, s.cfg.Stage, s.pod})
}

// boundRequestID lets go of an id that is too long to be one; the next handler makes another.
func boundRequestID(c fiber.Ctx) error {
	if len(c.Get(fiber.HeaderXRequestID)) > maxRequestID {
		c.Request().Header.Del(fiber.HeaderXRequestID)
	}
	return c.Next()
}

// observe measures and logs each request once its answer is known, also that of an error.
func (s *service) observe(c fiber.Ctx) error {
	begin := time.Now()
	if err := c.Next(); err != nil {
		if err := s.problem(c, err); err != nil {
			return err
		}
	}
	took := time.Since(begin)
	status, route := c.Response().StatusCode(), ""
	if c.Matched() {
		route = c.Route().Path
	}
	s.metrics.observe(c.Method(), route, status, took)

	level := slog.LevelDebug
	if status >= fiber.StatusInternalServerError {
		level = slog.LevelError
	}
	s.log.Log(c.Context(), level, "request", "id", requestid.FromContext(c), "method", c.Method(),
		"path", c.Path(), "route", route, "status", status, "seconds", took.Seconds())
	return nil
}

func (s *service) logPanic(c fiber.Ctx, cause any) {
	s.log.Error("panic", "id", requestid.FromContext(c), "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
}

// problem answers an error as RFC 9457 says. What went wrong inside stays in the log.
func (s *service) problem(c fiber.Ctx, err error) error {
	answer := struct {
		Title     string           `json:"title"`
		Status    int              `json:"status"`
		Detail    string           `json:"detail,omitempty"`
		Errors    []orders.Problem `json:"errors,omitempty"`
		RequestID string           `json:"request_id,omitempty"`
	}{Title: "internal error", Status: fiber.StatusInternalServerError, RequestID: requestid.FromContext(c)}

	var invalid orders.InvalidError
	var known *fiber.Error
	switch {
	case errors.As(err, &invalid):
		answer.Title, answer.Status, answer.Errors = "invalid order", fiber.StatusUnprocessableEntity, invalid
	case errors.Is(err, orders.ErrNotFound):
		answer.Title, answer.Status = orders.ErrNotFound.Error(), fiber.StatusNotFound
	case errors.As(err, &known) && known.Code < fiber.StatusInternalServerError:
		answer.Title, answer.Status, answer.Detail = "request refused", known.Code, known.Message
	default:
		s.log.Error("request failed", "id", answer.RequestID, "error", err)
	}
	return c.Status(answer.Status).JSON(answer, "application/problem+json")
}
