"""See it: the textbook's picture of any graph."""

from tarograd.drawing.picture import Picture as Picture
from tarograd.drawing.picture import draw as draw
