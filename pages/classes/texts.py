"""What the page on class sensitivity says."""

AT_THE_INPUT = "It has a single map, of the input; this page compares maps of layers."
GRID = """
Spearman’s rank correlation ρ of the two classes’ maps, for every method and layer. **Blue**: same map for
both classes. **White**: unrelated. **Orange**: opposite locations. White and orange both depend on the
class. Click a cell to see its maps above.
"""
WITHOUT_STEP = """
- **Without a meta step, NormGrad has ρ = 1 at the last layer before global average pooling, by
  construction.** The pooling gives every location the same gradient, so the class only scales the map and
  its ranks stay the same. The gradient alone is the same everywhere there: it has no ranks, and ρ is
  undefined.
- **Eigen-CAM has ρ = 1 everywhere** without a step: it looks at the activation only and ignores the class.
- **Grad-CAM often has no map for the least likely class**: its weighted sum is negative everywhere and is
  cut off at zero. An empty map has no ranks, so ρ is undefined, not zero.
- **Signed methods can have opposite maps**: evidence for one class may be evidence against the other.
"""
META = """
*Meta-saliency* asks what the network would look at **after one training step** on this photo with this class:
one step of gradient descent on the cross-entropy, of all parameters, taken on a copy. The step differs from
class to class, and so do the maps after it: it brings class information into methods that have little.
In the opposite direction, the step **unlearns** the class.
"""
CELLS_SWITCH = "Show all framework cells"
MODIFIED_SWITCH = "Show modified backpropagation"
DECLINED = "The other sizes of the step were not computed."
COMPUTE = "Compute them"
MAP_TABLE = "These correlations as a table"
BEFORE_TABLE = "The correlations before the step as a table"
CURVE_TABLE = "This curve as a table"
UNDEFINED = "undefined"
