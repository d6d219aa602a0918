package manifests

// Version gives ConfigMaps and Secrets that pod templates of the set use names
// that end with a hash of their content, and changes the references.
func Version(objs []Object) { panic("being written") }
