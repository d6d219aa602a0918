package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/caarlos0/env/v11"
)

// config is all that the environment decides. The zero value is not usable: see loadConfig.
type config struct {
	Port     uint16     `env:"PORT"      envDefault:"3000"`
	Stage    stage      `env:"STAGE"     envDefault:"development"`
	LogLevel slog.Level `env:"LOG_LEVEL" envDefault:"info"`
	Greeting string     `env:"GREETING"  envDefault:"Good coffee, quickly."`

	// FlagsFile is a flagd flag file (JSON or YAML), followed while the service runs, under the
	// name that flagd's providers know. Empty or not there at the start: every flag has its default.
	FlagsFile string `env:"FLAGD_OFFLINE_FLAG_SOURCE_PATH"`
	// PublicDir replaces the embedded static files. Empty: the embedded ones.
	PublicDir string `env:"PUBLIC_DIR"`

	// DrainDelay is how long the service serves on, unready, after it was told to end: longer
	// than the cluster needs to stop sending requests here.
	DrainDelay time.Duration `env:"DRAIN_DELAY" envDefault:"5s"`
	// ShutdownTimeout is how long requests in flight may then take. Together with DrainDelay
	// and a preStop hook it has to stay below the pod's terminationGracePeriodSeconds.
	ShutdownTimeout time.Duration `env:"SHUTDOWN_TIMEOUT" envDefault:"10s"`
}

// stage names the environment that the service runs in.
type stage string

const (
	development stage = "development"
	staging     stage = "staging"
	production  stage = "production"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *stage) UnmarshalText(text []byte) error {
	switch got := stage(text); got {
	case development, staging, production:
		*s = got
		return nil
	default:
		return fmt.Errorf("%q is not one of %s, %s, %s", text, development, staging, production)
	}
}

// loadConfig reads the given environment and reports everything that is wrong with it at once.
func loadConfig(environ map[string]string) (config, error) {
	cfg, err := env.ParseAsWithOptions[config](env.Options{Environment: environ})
	if err != nil {
		return config{}, fmt.Errorf("read the environment: %w", err)
	}
	for name, d := range map[string]time.Duration{"DRAIN_DELAY": cfg.DrainDelay, "SHUTDOWN_TIMEOUT": cfg.ShutdownTimeout} {
		if d < 0 {
			return config{}, fmt.Errorf("read the environment: %s is %s, must not be negative", name, d)
		}
	}
	return cfg, nil
}
