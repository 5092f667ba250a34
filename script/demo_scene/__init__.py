"""A dynamic room, described in NumPy and rendered with Mitsuba 3.

The renderer shares nothing with the project's own: what the demo reconstructs was not drawn by
the code that reconstructs it. Geometry, animation, textures and cameras need NumPy alone; only
``render`` and ``verify`` load Mitsuba.

World axes follow OpenCV: x right, y down, z away from the cameras; metres and seconds. The floor
is the plane y = 0, so a point 1.5 m above it has y = -1.5.
"""
