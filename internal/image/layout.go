package image

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/partial"
)

// WriteLayout writes an image or index as an OCI layout into the folder dir,
// whose index lists it alone.
func WriteLayout(dir string, content partial.WithRawManifest) error {
	folder, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("write OCI layout: %w", err)
	}
	switch c := content.(type) {
	case v1.ImageIndex:
		err = folder.AppendIndex(c)
	case v1.Image:
		err = folder.AppendImage(c)
	default:
		err = fmt.Errorf("neither image nor index: %T", content)
	}
	if err != nil {
		return fmt.Errorf("write OCI layout: %w", err)
	}
	return nil
}
