"""Gaussians for every frame of every scene of a data set, on local workers or a Ray cluster.

Kept empty: workers import this room before their threads and GPU are settled, so that nothing here
may load torch on the way.
"""
