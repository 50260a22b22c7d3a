<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1">
      <colorPalette>
        <paletteEntry value="1" color="#d7301f" label="building" alpha="255" />
        <paletteEntry value="2" color="#8c8c94" label="road" alpha="255" />
        <paletteEntry value="3" color="#b5d98c" label="grass" alpha="255" />
        <paletteEntry value="4" color="#2c7f3f" label="tree" alpha="255" />
        <paletteEntry value="5" color="#3d8fd1" label="water" alpha="255" />
        <paletteEntry value="6" color="#f5c518" label="car" alpha="255" />
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>
