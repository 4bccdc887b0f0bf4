"""Metrics of saliency maps: do they depend on the class, point at the object, name the pixels that count?

Rank correlation and structural similarity, class sensitivity, the pointing game and shares of energy,
insertion and deletion, randomisation of the weights, and bootstrap intervals of their means.
"""
