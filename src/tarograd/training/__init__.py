"""Training: `fit`, what it remembers, and what it leaves in its directory."""

from tarograd.training.fit import fit as fit
from tarograd.training.health import NonFiniteError as NonFiniteError
from tarograd.training.history import Epoch as Epoch
from tarograd.training.history import History as History
from tarograd.training.interruption import Interrupted as Interrupted
from tarograd.training.store import load_network as load_network
from tarograd.training.store import save_network as save_network
