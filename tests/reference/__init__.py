"""The algorithms of `dynres_rs` in plain Python, written from the rules and readable as a spec.

Nothing here is fast, nothing here imports the package under test. Images are uint8 arrays of shape
(height, width, channels); sizes are (height, width) in pixels.

| module | what it states |
|---|---|
| `sizing` | which size an image is scaled to, which grid of tiles it is cut into |
| `weights` | the resampling weights of one axis, in float64 and quantised |
| `resample` | the two passes over an 8-bit image, and their order |
| `normalise` | what each of the 256 byte values becomes |
| `pack` | padding, tiles, patches: where each value goes |
| `plan` | every number of a plan |
| `families` | whole pipelines, from pixels to the arrays a model is given |
"""
