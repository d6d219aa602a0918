package main

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"os"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/static"

	"github.com/fibership/orders/internal/orders"
)

//go:embed web/index.html
var indexHTML string

//go:embed public
var embedded embed.FS

// page is what a browser sees: the shop window and its static files.
type page struct {
	index  *template.Template
	static fiber.Handler
}

func newPage(cfg config) (*page, error) {
	index, err := template.New("index").Parse(indexHTML)
	if err != nil {
		return nil, fmt.Errorf("parse the page: %w", err)
	}
	files, err := publicFiles(cfg.PublicDir)
	if err != nil {
		return nil, err
	}
	return &page{index: index, static: static.New("", static.Config{
		FS: files, MaxAge: 300, ModifyResponse: forgetAge,
	})}, nil
}

// publicFiles gives the embedded files, or those of a folder, which nothing leads out of.
func publicFiles(dir string) (fs.FS, error) {
	if dir == "" {
		return fs.Sub(embedded, "public")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open PUBLIC_DIR: %w", err)
	}
	return root.FS(), nil
}

// forgetAge takes the date away: embedded files have none, and a made-up one would let browsers
// keep an old file for ever.
func forgetAge(c fiber.Ctx) error {
	c.Response().Header.Del(fiber.HeaderLastModified)
	return nil
}

// showPage shows the shop as the customer named in ?customer= gets it.
func (s *service) showPage(c fiber.Ctx) error {
	var html bytes.Buffer
	if err := s.page.index.Execute(&html, struct {
		Greeting, Release, Version, Pod string
		Stage                           stage
		Express                         bool
		SKUs                            []string
	}{
		Greeting: s.cfg.Greeting, Release: release, Version: version, Pod: s.pod, Stage: s.cfg.Stage,
		Express: s.checkout(c.Context(), s.key(c, c.Query("customer"))) == orders.Express, SKUs: orders.SKUs(),
	}); err != nil {
		return fmt.Errorf("render the page: %w", err)
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set(fiber.HeaderContentSecurityPolicy, "default-src 'self'")
	c.Type("html", "utf-8")
	return c.Send(html.Bytes())
}
